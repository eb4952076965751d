"""The checks of recordings: what each finds, repairs and leaves alone."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from lamae.config import ConfigError, load_settings
from lamae.ecg.leads import LEADS
from lamae.ecg.record import MISSING, Record
from lamae.errors import RecordError
from lamae.quality.examine import REASONS, Verdict, examine
from lamae.quality.settings import QualitySettings
from shards.simulator.ecg_classes import CLASSES
from shards.simulator.signals import simulate_signals

PER_MV = 1000
REPAIRABLE = {"flat_lead", "implausible_gain", "constant_run", "leads_swapped"}


def quality(**policies: str) -> QualitySettings:
    return QualitySettings.model_validate({k: {"policy": v} for k, v in policies.items()})


FLAG_ALL = quality(**dict.fromkeys(REASONS, "flag"))


def simulated(code: str = "sinus", *, sampling_rate: int = 500, seed: int = 5) -> Record:
    generator = np.random.default_rng(seed)
    signal = simulate_signals([code], generator=generator, sampling_rate=sampling_rate).signal_mv[0]
    return as_record(np.round(signal * PER_MV).astype(np.int16), sampling_rate=sampling_rate)


def as_record(
    digital: np.ndarray, *, leads: tuple[str, ...] = LEADS, sampling_rate: int = 500
) -> Record:
    rows = len(leads)
    return Record("r", digital, leads, sampling_rate, (float(PER_MV),) * rows, (0,) * rows)


CLEAN = simulated()


def with_samples(record: Record, lead: str, change: Callable[[np.ndarray], object]) -> Record:
    """Change the samples of a lead in place, in a copy of the recording."""
    digital = record.digital.copy()
    change(digital[record.leads.index(lead)])
    return replace(record, digital=digital)


def filled(start: int, stop: int, value: int) -> Callable[[np.ndarray], object]:
    return lambda row: row.__setitem__(slice(start, stop), value)


def assert_same_but(verdict: Verdict, original: Record, *leads: str) -> None:
    """All rows but those of `leads` are bit for bit the original's."""
    repaired = verdict.record
    for old, lead in enumerate(original.leads):
        if lead not in leads:
            new = repaired.leads.index(lead)
            assert np.array_equal(repaired.digital[new], original.digital[old])
            assert repaired.gain[new] == original.gain[old]


def test_every_reason_has_settings_in_the_order_of_the_checks() -> None:
    assert tuple(QualitySettings.model_fields) == REASONS


@pytest.mark.parametrize("sampling_rate", [100, 500])
@pytest.mark.parametrize("code", CLASSES)
def test_simulated_recordings_are_flawless_in_every_class(code: str, sampling_rate: int) -> None:
    for seed in range(3):
        record = simulated(code, sampling_rate=sampling_rate, seed=seed)
        assert examine(record, FLAG_ALL) == Verdict(record, (), ())


@pytest.mark.parametrize("reason", REASONS)
def test_a_repair_that_does_not_exist_is_refused_by_its_key(reason: str) -> None:
    arguments = [f"{reason}.policy=repair"]
    if reason == "implausible_gain":
        arguments.append(f"{reason}.expected_per_mv=1000")
    if reason in REPAIRABLE:
        assert getattr(load_settings(QualitySettings, arguments), reason).policy == "repair"
    else:
        with pytest.raises(ConfigError, match=f"{reason}.*nothing repairs this"):
            load_settings(QualitySettings, arguments)


def test_a_gain_cannot_be_repaired_without_the_documented_one() -> None:
    with pytest.raises(ValidationError, match="expected_per_mv"):
        quality(implausible_gain="repair")


FAULTS: dict[str, Record] = {
    "all_leads_flat": as_record(np.full((12, 5000), 7, dtype=np.int16)),
    "flat_lead": with_samples(CLEAN, "V3", filled(0, 5000, 40)),
    "implausible_gain": replace(CLEAN, gain=(20.0 * PER_MV,) * 12),
    "constant_run": with_samples(CLEAN, "V2", filled(1000, 1501, 12)),
    "clipped": with_samples(CLEAN, "V4", lambda row: np.clip(row, -300, 300, out=row)),
    "implausible_amplitude": with_samples(CLEAN, "V1", filled(2000, 2001, 11_000)),
    "baseline_offset": with_samples(CLEAN, "V6", lambda row: np.add(row, 900, out=row)),
    "leads_swapped": replace(CLEAN, digital=CLEAN.digital[[0, 1, 2, 3, 5, 4, *range(6, 12)]]),
    "limb_leads_inconsistent": with_samples(CLEAN, "aVL", filled(3000, 3002, 2000)),
    "missing_samples": with_samples(CLEAN, "V5", filled(0, 400, MISSING)),
    "missing_leads": as_record(CLEAN.digital[:-1], leads=LEADS[:-1]),
}


@pytest.mark.parametrize("reason", REASONS)
def test_each_fault_is_found_under_its_own_reason_and_no_other(reason: str) -> None:
    verdict = examine(FAULTS[reason], FLAG_ALL)
    assert verdict.flags == (reason,) and len(verdict.notes) == 1
    assert verdict.record is FAULTS[reason]


@pytest.mark.parametrize("reason", REASONS)
def test_each_fault_is_rejected_or_ignored_where_that_is_the_policy(reason: str) -> None:
    with pytest.raises(RecordError, match="recording r") as caught:
        examine(FAULTS[reason], quality(**{reason: "reject"}))
    assert caught.value.reason == reason
    ignoring = dict.fromkeys(REASONS, "flag") | {reason: "ignore"}
    if reason != "leads_swapped":  # unless its cause is looked for, it is an inconsistency
        assert examine(FAULTS[reason], quality(**ignoring)).flags == ()


def test_swapped_leads_are_inconsistent_where_no_other_order_is_looked_for() -> None:
    verdict = examine(FAULTS["leads_swapped"], quality(leads_swapped="ignore"))
    assert verdict.flags == ("limb_leads_inconsistent",)


DIGITAL = arrays(
    np.int16,
    st.tuples(st.integers(1, 12), st.integers(1, 600)),
    elements=st.sampled_from([MISSING, -32767, -200, -1, 0, 1, 5, 300, 32767]),
)


@settings(max_examples=150)
@given(digital=DIGITAL, sampling_rate=st.sampled_from([50, 100, 500]))
def test_nothing_is_changed_where_every_policy_is_flag(
    digital: np.ndarray, sampling_rate: int
) -> None:
    record = as_record(digital, leads=LEADS[: len(digital)], sampling_rate=sampling_rate)
    before = digital.copy()
    verdict = examine(record, FLAG_ALL)
    assert verdict.record is record and np.array_equal(record.digital, before)
    assert len(verdict.flags) == len(set(verdict.flags)) == len(verdict.notes)


@settings(max_examples=150)
@given(digital=DIGITAL)
def test_whatever_is_repaired_is_not_found_again(digital: np.ndarray) -> None:
    repair = dict.fromkeys(REPAIRABLE - {"implausible_gain"}, "repair")
    repairing = quality(**repair, all_leads_flat="flag")
    record = as_record(digital, leads=LEADS[: len(digital)], sampling_rate=100)
    once = examine(record, repairing).record
    again = examine(once, repairing).record
    assert again is once


def test_a_flat_lead_is_removed_and_then_counts_as_missing() -> None:
    broken = with_samples(FAULTS["flat_lead"], "I", filled(0, 5000, MISSING))
    verdict = examine(broken, QualitySettings())
    assert verdict.record.leads == tuple(lead for lead in LEADS if lead not in ("I", "V3"))
    assert verdict.flags == ("flat_lead", "missing_leads")
    assert "I, V3" in verdict.notes[0] and "removed" in verdict.notes[0]
    assert_same_but(verdict, broken, "I", "V3")


def test_a_constant_run_becomes_missing_and_nothing_else_does() -> None:
    verdict = examine(FAULTS["constant_run"], quality(constant_run="repair"))
    row = verdict.record.digital[LEADS.index("V2")]
    assert np.array_equal(np.flatnonzero(row == MISSING), np.arange(1000, 1501))
    assert np.array_equal(row[row != MISSING], np.delete(CLEAN.digital[7], slice(1000, 1501)))
    assert_same_but(verdict, CLEAN, "V2")


@given(start=st.integers(0, 4499), samples=st.integers(470, 530))
def test_a_run_is_found_wherever_it_lies_once_it_is_longer_than_a_second(
    start: int, samples: int
) -> None:
    row = np.arange(5000) % 2 * 10
    row[start : start + samples] = 99  # no other sample has this value
    record = as_record(np.stack([row, row + 1]).astype(np.int16), leads=("I", "II"))
    found = "constant_run" in examine(record, FLAG_ALL).flags
    assert found == (min(samples, 5000 - start) > 500)


def test_missing_samples_are_no_constant_run_and_move_no_level() -> None:
    gap = with_samples(CLEAN, "V1", filled(500, 2500, MISSING))
    gap = with_samples(gap, "aVL", filled(100, 1300, MISSING))
    assert examine(gap, FLAG_ALL).flags == ("missing_samples",)
    assert examine(gap, FLAG_ALL).notes[0].startswith("missing samples in aVL 24 %, V1 40 %")


@pytest.mark.parametrize("factor", [0.001, 0.1, 5.0, 200.0])
def test_another_gain_than_the_documented_one_is_put_right(factor: float) -> None:
    documented = {"implausible_gain": {"policy": "repair", "expected_per_mv": PER_MV}}
    scaled = replace(CLEAN, gain=(PER_MV * factor,) * 12)
    verdict = examine(scaled, QualitySettings.model_validate(documented))
    assert verdict.flags == ("implausible_gain",)
    assert verdict.record.gain == CLEAN.gain and verdict.record.digital is CLEAN.digital


@pytest.mark.parametrize(("sampling_rate", "share"), [(100, 0.25), (500, 0.5), (500, 0.8)])
def test_a_saturated_lead_is_found(sampling_rate: int, share: float) -> None:
    record = simulated(sampling_rate=sampling_rate)
    row = record.digital[LEADS.index("V4")]
    limit = int(share * row.max())
    cut = with_samples(record, "V4", partial(np.copyto, src=np.clip(row, -limit, limit)))
    assert examine(cut, FLAG_ALL).flags == ("clipped",)


def test_a_rounded_peak_is_no_saturation() -> None:
    wave = np.round(200 * np.sin(np.arange(5000) / 250)).astype(np.int16)
    assert np.count_nonzero(wave == wave.max()) > 40
    assert "clipped" not in examine(as_record(wave[None], leads=("I",)), FLAG_ALL).flags


def test_a_sample_at_the_limit_of_16_bits_is_saturation() -> None:
    assert "clipped" in examine(with_samples(CLEAN, "V1", filled(9, 10, 32767)), FLAG_ALL).flags


PAIRS = [(a, b) for a, b in combinations(LEADS, 2) if a in LEADS[:6]]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_exchanged_rows_are_named_and_put_back_bit_by_bit(first: str, second: str) -> None:
    gain = tuple(1000.0 + i for i in range(12))
    baseline = tuple(range(12))
    mv = CLEAN.signal_mv()
    digital = np.round(mv * np.array(gain)[:, None] + np.array(baseline)[:, None])
    right = Record("r", digital.astype(np.int16), LEADS, 500, gain, baseline)
    order = list(range(12))
    i, j = LEADS.index(first), LEADS.index(second)
    order[i], order[j] = j, i
    wrong = replace(
        right,
        digital=right.digital[order],
        gain=tuple(gain[k] for k in order),
        baseline=tuple(baseline[k] for k in order),
    )
    verdict = examine(wrong, quality(leads_swapped="repair"))
    assert verdict.flags == ("leads_swapped",)
    assert first in verdict.notes[0] and second in verdict.notes[0]
    assert np.array_equal(verdict.record.digital, right.digital)
    assert (verdict.record.gain, verdict.record.baseline) == (gain, baseline)


def test_cabrera_order_is_put_back_with_avr_upright() -> None:
    cabrera = CLEAN.digital[[4, 0, 3, 1, 5, 2, *range(6, 12)]]
    cabrera[2] *= -1
    cabrera[11] = MISSING  # V6, which must not hinder
    keep = quality(leads_swapped="repair", flat_lead="ignore")
    verdict = examine(replace(CLEAN, digital=cabrera), keep)
    assert verdict.flags == ("leads_swapped", "missing_samples")
    assert "aVR in the row of III, upside down" in verdict.notes[0]
    assert np.array_equal(verdict.record.signal_mv()[:11], CLEAN.signal_mv()[:11])


@pytest.mark.parametrize("lead", ["II", "aVR", "aVL", "aVF"])
def test_a_lead_upside_down_is_turned(lead: str) -> None:
    turned = with_samples(CLEAN, lead, lambda row: np.negative(row, out=row))
    verdict = examine(turned, quality(leads_swapped="repair"))
    assert verdict.notes[0].startswith(f"{lead} upside down;")
    assert np.array_equal(verdict.record.signal_mv(), CLEAN.signal_mv())


@pytest.mark.parametrize("lead", ["I", "III"])
def test_what_two_arrangements_explain_is_named_and_not_repaired(lead: str) -> None:
    turned = with_samples(CLEAN, lead, lambda row: np.negative(row, out=row))
    verdict = examine(turned, quality(leads_swapped="repair"))
    assert verdict.record is turned and verdict.flags == ("leads_swapped",)
    assert "either" in verdict.notes[0] and f"{lead} upside down" in verdict.notes[0]


def test_swapped_arm_electrodes_obey_the_equations_and_are_not_found() -> None:
    swapped = replace(CLEAN, digital=CLEAN.digital[[0, 2, 1, 4, 3, 5, *range(6, 12)]])
    turned = with_samples(swapped, "I", lambda row: np.negative(row, out=row))
    assert examine(turned, FLAG_ALL).flags == ()


def test_a_lead_that_is_another_signal_is_inconsistent_in_any_order() -> None:
    other = simulated("PVC", seed=9).digital[LEADS.index("II")]
    mixed = with_samples(CLEAN, "II", lambda row: np.copyto(row, other))
    assert examine(mixed, quality(leads_swapped="repair")).flags == ("limb_leads_inconsistent",)


def test_three_limb_leads_are_enough_to_contradict_each_other() -> None:
    three = as_record(CLEAN.digital[[0, 1, 3]], leads=("I", "II", "aVR"))
    assert examine(three, FLAG_ALL).flags == ("missing_leads",)
    turned = with_samples(three, "aVR", lambda row: np.negative(row, out=row))
    assert examine(turned, FLAG_ALL).flags == ("limb_leads_inconsistent", "missing_leads")

from dataclasses import replace

import numpy as np
import pytest

from lamae.config import ConfigError, load_settings
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import MISSING, Record
from lamae.errors import RecordError


def make_record(
    leads: tuple[str, ...] = LEADS, *, rate: int = 500, seconds: float = 10.0, gain: float = 200.0
) -> Record:
    time = np.arange(round(seconds * rate)) / rate
    phases = np.arange(len(leads))[:, None]
    signal_mv = np.sin(2 * np.pi * 5 * time + phases) * (1 + phases)
    return Record(
        name="r",
        digital=np.rint(signal_mv * gain).astype(np.int16),
        leads=leads,
        sampling_rate=rate,
        gain=(gain,) * len(leads),
        baseline=(0,) * len(leads),
    )


@pytest.mark.parametrize(("rate", "seconds"), [(500, 10), (100, 10), (400, 7.3), (1000, 38.4)])
def test_every_record_becomes_the_shape_of_the_model(rate: int, seconds: float) -> None:
    prepared = Preprocessor()(make_record(rate=rate, seconds=seconds))
    assert prepared.signal.shape == (12, 2500) and prepared.signal.dtype == np.float32
    assert prepared.present.all()
    assert not prepared.signal[:, round(seconds * 250) + 1 :].any()


def test_the_integers_of_a_file_do_not_matter_only_its_millivolts() -> None:
    fine, coarse = (Preprocessor()(make_record(gain=gain)).signal for gain in (2000.0, 500.0))
    np.testing.assert_allclose(fine, coarse, atol=2e-3)


def test_normalising_a_record_gives_mean_0_and_deviation_1_over_all_leads() -> None:
    signal = Preprocessor(normalisation="record")(make_record()).signal
    assert abs(signal.mean()) < 1e-4 and abs(signal.std() - 1) < 1e-4
    assert signal[11].std() > 5 * signal[0].std()


def test_normalising_leads_gives_each_mean_0_and_deviation_1() -> None:
    signal = Preprocessor(normalisation="lead")(make_record()).signal
    np.testing.assert_allclose(signal.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(signal.std(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("normalisation", ["record", "lead", "none"])
def test_millivolts_undo_the_normalisation(normalisation: str) -> None:
    values = {"band_hz": None, "sampling_rate": 500, "normalisation": normalisation}
    prepared = Preprocessor.model_validate(values)(make_record())
    found = prepared.millivolts(prepared.signal)
    np.testing.assert_allclose(found, make_record().signal_mv(), atol=1e-4)


def test_limb_leads_are_derived_and_other_absent_leads_are_zero_and_marked() -> None:
    record = make_record(("I", "II", "V2"))
    values = {"band_hz": None, "sampling_rate": 500, "normalisation": "none"}
    prepared = Preprocessor.model_validate(values)(record)
    assert [lead for lead, there in zip(LEADS, prepared.present, strict=True) if there] == [
        *LEADS[:6],
        "V2",
    ]
    one, two = record.signal_mv()[:2]
    np.testing.assert_allclose(prepared.signal[2], two - one, atol=1e-5)
    np.testing.assert_allclose(prepared.signal[3], -(one + two) / 2, atol=1e-5)
    assert not prepared.signal[~prepared.present].any()


def test_the_order_of_the_leads_is_that_of_the_settings() -> None:
    settings = {"band_hz": None, "sampling_rate": 500, "normalisation": "none"}
    prepared = Preprocessor.model_validate({**settings, "leads": ["V6", "ii"]})(make_record())
    np.testing.assert_allclose(prepared.signal, make_record().signal_mv()[[11, 1]], atol=1e-6)


@pytest.mark.parametrize("start", [-3, 0, 700, 1250, 5000])
def test_a_window_shows_a_stretch_of_the_filtered_recording_and_is_normalised_alone(
    start: int,
) -> None:
    record = make_record(seconds=10)
    whole = Preprocessor(normalisation="none")(record).signal
    first = min(max(start, 0), 1250)
    stretch = whole[:, first : first + 1250]
    prepared = Preprocessor(duration_s=5)(record, start)
    expected = (stretch - stretch.mean()) / stretch.std()
    np.testing.assert_allclose(prepared.signal, expected, atol=1e-5)
    np.testing.assert_allclose(prepared.millivolts(prepared.signal), stretch, atol=1e-5)
    assert prepared.samples == 1250


def test_a_flat_record_stays_finite() -> None:
    record = make_record()
    flat = Record("r", np.zeros_like(record.digital), LEADS, 500, record.gain, record.baseline)
    assert not Preprocessor()(flat).signal.any()


def with_missing(share: float) -> Record:
    record = make_record()
    record.digital[:, : round(share * record.digital.shape[1])] = MISSING
    return record


def test_missing_samples_are_filled_up_to_the_share_and_refused_beyond() -> None:
    assert np.isfinite(Preprocessor()(with_missing(0.19)).signal).all()
    for settings, share in ((Preprocessor(), 0.21), (Preprocessor(missing="reject"), 0.01)):
        with pytest.raises(RecordError) as caught:
            settings(with_missing(share))
        assert caught.value.reason == "missing_samples"


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_lead_that_is_mostly_missing_is_absent_and_no_lead_is_derived_from_it(
    share: float,
) -> None:
    record = make_record(INDEPENDENT_LEADS)
    record.digital[0, : round(share * record.digital.shape[1])] = MISSING
    prepared = Preprocessor()(record)
    absent = [lead for lead, has in zip(LEADS, prepared.present, strict=True) if not has]
    assert absent == ["I", "III", "aVR", "aVL", "aVF"]
    assert not prepared.signal[~prepared.present].any()


def test_a_limb_lead_that_is_mostly_missing_is_derived_from_two_others() -> None:
    whole = make_record()
    signal = whole.digital.copy()
    signal[2] = signal[1] - signal[0]
    whole = replace(whole, digital=signal)
    broken = replace(whole, digital=signal.copy())
    broken.digital[2] = MISSING
    settings = Preprocessor(normalisation="none", band_hz=None)
    np.testing.assert_allclose(settings(broken).signal[2], settings(whole).signal[2], atol=1e-4)
    assert settings(broken).present.all()


def test_a_record_without_a_wanted_lead_is_refused() -> None:
    with pytest.raises(RecordError) as caught:
        Preprocessor(leads=("V1",))(make_record(("I", "V2")))
    assert caught.value.reason == "no_usable_lead"


@pytest.mark.parametrize(
    ("argument", "leads"),
    [("leads=8", INDEPENDENT_LEADS), ("leads=12", LEADS), ("leads=[avf, V1]", ("aVF", "V1"))],
)
def test_leads_are_given_by_number_or_name(argument: str, leads: tuple[str, ...]) -> None:
    assert load_settings(Preprocessor, [argument]).leads == leads


@pytest.mark.parametrize(
    "argument",
    [
        "leads=[]",
        "leads=[I, i]",
        "leads=7",
        "leads=[MLX]",
        "band_hz=[40, 1]",
        "band_hz=[1, 125]",
        "duration_s=0",
        "sampling_rate=10",
        "max_missing_share=1.5",
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(argument: str) -> None:
    with pytest.raises(ConfigError):
        load_settings(Preprocessor, [argument])


def test_settings_come_back_from_their_json() -> None:
    settings = Preprocessor(leads=("V1", "I"), band_hz=None, sampling_rate=100)
    assert Preprocessor.model_validate_json(settings.model_dump_json()) == settings

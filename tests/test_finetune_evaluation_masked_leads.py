"""A lead that is taken is as if the recording lacked it, and fewer are those of a device."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from finetune.evaluation.lead_masking import FEWER_LEADS, keep_leads, lead_sets
from lamae.batches.dataset import Batch
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record

NORMALISATIONS = ("record", "lead", "none")


def make_record() -> Record:
    """Make a recording of noise, of which the limb leads keep Einthoven's law to the last digit."""
    generator = np.random.default_rng(0)
    digital = 2 * generator.normal(20, 150, (12, 400)).astype(np.int16)
    first, second = digital[:2]
    digital[2:6] = second - first, -(first + second) // 2, first - second // 2, second - first // 2
    gain = (500.0,) * 6 + tuple(generator.uniform(100, 900, 6))
    return Record("whole", digital, LEADS, 100, gain, (0,) * 6 + (1, 2, 3, 4, 5, 6))


def only(record: Record, leads: tuple[str, ...]) -> Record:
    rows = [LEADS.index(lead) for lead in leads]
    return replace(
        record,
        digital=record.digital[rows],
        leads=leads,
        gain=tuple(record.gain[row] for row in rows),
        baseline=tuple(record.baseline[row] for row in rows),
    )


def assert_same(
    record: Record, normalisation: str, shown: tuple[str, ...], device: tuple[str, ...]
) -> None:
    """Hold what is kept of a recording against what the preprocessor makes of the device's."""
    values = {"sampling_rate": 100, "duration_s": 5, "band_hz": None}  # longer than the recording
    preprocess = Preprocessor.model_validate(values | {"normalisation": normalisation})
    prepared, expected = preprocess(record), preprocess(only(record, device))
    batch = Batch(
        torch.from_numpy(prepared.signal)[None], None, ("a",), torch.tensor([prepared.samples])
    )
    mask = np.array([lead in shown for lead in LEADS])
    got = keep_leads(batch, mask, of_record=normalisation == "record")
    np.testing.assert_allclose(got.signal[0], expected.signal, atol=3e-5)
    present = [True] * len(LEADS) if got.present is None else got.present[0].tolist()
    assert present == expected.present.tolist()


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("kept", [("II", "V1", "V5"), ("aVF",), LEADS[6:]])
def test_a_lead_that_is_taken_is_as_if_the_recording_had_been_made_without_it(
    normalisation: str, kept: tuple[str, ...]
) -> None:
    assert_same(make_record(), normalisation, kept, kept)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("device", FEWER_LEADS.values(), ids=list(FEWER_LEADS))
def test_fewer_leads_are_what_a_recording_of_such_a_device_gives(
    normalisation: str, device: tuple[str, ...]
) -> None:
    assert_same(make_record(), normalisation, lead_sets(LEADS).fewer[device], device)


@pytest.mark.parametrize("level", [0, 37])
def test_a_flat_lead_that_is_left_alone_stays_flat(level: int) -> None:
    record = make_record()
    record.digital[10] = level  # a mean of many equal numbers is not quite that number
    assert_same(record, "record", ("V5",), ("V5",))

from typing import Any

import numpy as np
import pytest
import torch

from lamae.batches.batch_preprocess import BatchPreprocessor, is_for_batches
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record

CPU = torch.device("cpu")


def record(seed: int, leads: tuple[str, ...], samples: int, rate: int) -> Record:
    draws = np.random.default_rng(seed)
    walk = draws.normal(0, 30, (len(leads), samples)).cumsum(axis=1)
    digital = (walk - walk.mean(axis=1, keepdims=True)).clip(-32000, 32000).astype(np.int16)
    gain = tuple(float(g) for g in draws.choice([200.0, 1000.0, 4.88], len(leads)))
    baseline = tuple(int(b) for b in draws.integers(-500, 500, len(leads)))
    return Record(str(seed), digital, leads, rate, gain, baseline)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"leads": 8, "sampling_rate": 100},
        {"normalisation": "lead", "duration_s": 4},
        {"normalisation": "none", "band_hz": None},
        {"band_hz": None, "sampling_rate": 500},
        {"duration_s": 12},
    ],
)
@pytest.mark.parametrize("leads", [LEADS, INDEPENDENT_LEADS, ("II", "aVL", "V2")])
@pytest.mark.parametrize("starts", [None, (0, 611, 9999)])
def test_a_batch_is_what_the_preprocessor_makes_of_each_recording(
    changes: dict[str, Any], leads: tuple[str, ...], starts: tuple[int, ...] | None
) -> None:
    """Windows of all or of the first, a middle and the last stretch of 10-s recordings."""
    preprocessor = Preprocessor.model_validate(changes)
    records = [record(seed, leads, 5000, 500) for seed in range(3)]
    whole = BatchPreprocessor(
        preprocessor, leads=leads, samples=5000, sampling_rate=500, device=CPU
    )
    found = whole(
        torch.from_numpy(np.stack([r.digital for r in records])),
        torch.tensor([r.gain for r in records]),
        torch.tensor([r.baseline for r in records], dtype=torch.float32),
        starts if starts is None else torch.tensor(starts),
    )
    for row, one, start in zip(found, records, starts or (0, 0, 0), strict=True):
        expected = preprocessor(one, start)
        assert np.array_equal(whole.present.numpy(), expected.present)
        scale = np.abs(expected.signal).max()
        assert np.abs(row.numpy() - expected.signal).max() < 2e-5 * scale + 1e-5


def test_a_flat_recording_stays_flat() -> None:
    flat = torch.full((1, 12, 5000), 7, dtype=torch.int16)
    preprocessor = Preprocessor(band_hz=None)
    whole = BatchPreprocessor(
        preprocessor, leads=LEADS, samples=5000, sampling_rate=500, device=CPU
    )
    found = whole(flat, torch.full((1, 12), 200.0), torch.zeros(1, 12))
    assert found.abs().max() < 1e-4


@pytest.mark.parametrize(
    ("leads", "samples", "expected"),
    [(LEADS, 5000, True), (LEADS, 30_000, True), (LEADS, 900_000, False), (("V1",), 5000, False)],
)
def test_recordings_of_a_minute_are_for_batches_and_those_of_half_an_hour_or_other_leads_not(
    leads: tuple[str, ...], samples: int, expected: bool
) -> None:
    preprocessor = Preprocessor(leads=("I", "II", "V2"))
    found = is_for_batches(preprocessor, leads=leads, samples=samples, sampling_rate=500)
    assert found == expected

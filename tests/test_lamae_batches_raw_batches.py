"""Raw batches: what the device makes of them is what the host would, or there is none."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lamae.batches.dataset import Split
from lamae.batches.raw_batches import OnDevice, Resident, Stream, without_signal
from lamae.ecg.preprocess import Preprocessor
from lamae.storage.corpus import Corpus

CorpusWith = Callable[..., Corpus]
CPU = torch.device("cpu")
PREPROCESSOR = Preprocessor(sampling_rate=50, duration_s=3, band_hz=(0.5, 20))


def make(kind: str, corpus: Corpus, preprocessor: Preprocessor = PREPROCESSOR) -> Stream | Resident:
    split = Split(corpus, corpus.rows("train"), preprocessor)
    return Stream(split) if kind == "stream" else Resident(split, CPU)


@pytest.mark.parametrize("kind", ["stream", "resident"])
@pytest.mark.parametrize("starts", [None, [0, 57, 100, 999]])
def test_windows_of_a_raw_batch_are_those_of_the_host(
    corpus: Corpus, kind: str, starts: list[int] | None
) -> None:
    positions, begins = np.array([5, 0, 5, 9]), None if starts is None else np.array(starts)
    raw = make(kind, corpus)(positions, begins)
    assert raw is not None
    expected = Split(corpus, corpus.rows("train"), PREPROCESSOR).batch(positions, begins)
    found = OnDevice(PREPROCESSOR, CPU)(raw)
    torch.testing.assert_close(found, expected.signal, rtol=1e-4, atol=1e-4)
    assert without_signal(raw, PREPROCESSOR)[1:] == expected[1:]


@pytest.mark.parametrize("kind", ["stream", "resident"])
def test_recordings_without_any_wanted_lead_are_left_to_the_host_which_replaces_them(
    corpus: Corpus, corpus_with_limb_leads: CorpusWith, kind: str
) -> None:
    """A signal of absent leads alone would be divided by its share of present leads, zero."""
    precordial = PREPROCESSOR.model_copy(update={"leads": ("V1", "V6")})
    assert make(kind, corpus, precordial)(np.array([0, 1])) is not None
    limb = corpus_with_limb_leads(corpus.rows("train")[1:])
    assert make(kind, limb)(np.array([1, 2])) is not None
    assert make(kind, limb, precordial)(np.array([1, 2])) is None
    split = Split(limb, limb.rows("train")[-2::-1], precordial, replace_unusable=True)
    batch = split.batch([len(split) - 2])
    assert batch.keys == (limb.keys[limb.rows("train")[0]],) and not batch.damaged


@pytest.mark.parametrize("kind", ["stream", "resident"])
def test_a_batch_with_a_damaged_sample_is_left_to_the_host_and_others_are_raw(
    corpus_with_damage: CorpusWith, kind: str
) -> None:
    damaged = corpus_with_damage(train=[3])
    batches = make(kind, damaged)
    assert batches(np.array([2, 3])) is None
    raw = batches(np.array([4, 2]))
    assert raw is not None
    rows = damaged.rows("train")[[4, 2]]
    assert np.array_equal(raw.digital.numpy(), damaged.digital(rows))


def test_the_index_tells_which_leads_are_present(
    corpus: Corpus, corpus_with_limb_leads: CorpusWith
) -> None:
    limb = corpus_with_limb_leads(corpus.rows("train")[1:2])
    leads = PREPROCESSOR.model_copy(update={"leads": ("V1", "aVF", "II")})
    split = Split(limb, limb.rows("train"), leads)
    found = split.present(np.array([1, 0, 1]))
    assert found.tolist() == [[False, True, True], [True, True, True], [False, True, True]]
    expected = split.batch([1, 0, 1]).present
    assert expected is not None and found.tolist() == expected.tolist()

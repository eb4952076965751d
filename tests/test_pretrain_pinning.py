"""What a step reads can be put in other memory, and nothing of it is forgotten."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import recursively_apply

from lamae.batches.dataset import Split
from lamae.batches.raw_batches import RawBatch
from lamae.storage.corpus import Corpus
from pretrain.batches import Reader, step_batches
from pretrain.pinning import pinning
from pretrain.settings import PretrainSettings

CPU = torch.device("cpu")


def test_every_tensor_that_goes_to_the_device_is_moved_and_all_else_stays(
    make_settings: Callable[..., PretrainSettings], corpus: Corpus, accelerator: Accelerator
) -> None:
    """A window longer than the recordings, so that there is padding, and raw batches."""
    preprocess = {"sampling_rate": 50, "duration_s": 8, "band_hz": None}
    masking = {"random": 0.0, "lead": 1.0}
    settings = make_settings(preprocess=preprocess, preprocess_on="device", accumulation=2)
    model = settings.model.model_copy(
        update={"masking": settings.model.masking.model_copy(update=masking)}
    )
    settings = settings.model_copy(update={"model": model})
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    read = Reader(data, settings, CPU)
    parts = step_batches(settings, accelerator, read, 0)
    assert all(
        part.raw and part.mask.seen is not None and part.recorded.valid is not None
        for part in parts
    )
    moved: Any = recursively_apply(lambda tensor: tensor.to("meta"), parts)
    assert list(map(type, moved)) == list(map(type, parts))
    for before, after in zip(parts, moved, strict=True):
        assert after.batch.keys == before.batch.keys and after.counted == before.counted
        assert isinstance(before.raw, RawBatch) and after.raw.shape == before.raw.shape
        assert not before.raw.digital.is_meta
        raw = (after.raw.digital, after.raw.gain, after.raw.baseline)
        others = (after.batch.signal, after.mask.visible, after.mask.seen, after.recorded.valid)
        assert all(tensor.is_meta for tensor in (*raw, *others))


def test_without_a_gpu_batches_stay_as_they_are() -> None:
    made = pinning(lambda step: [torch.full((2,), step)], CPU)
    assert made(3)[0].tolist() == [3, 3] and not made(3)[0].is_pinned()

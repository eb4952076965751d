from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lamae.batches.dataset import Split
from lamae.batches.raw_batches import Resident
from lamae.errors import InputError
from lamae.model.masking import Mask
from lamae.storage.corpus import Corpus
from pretrain.batches import Reader, masked_batch, step_batches
from pretrain.loop import Training, model_arguments, reconstruct, train_step, validate
from pretrain.settings import PretrainSettings
from pretrain.start import start_training

MakeSettings = Callable[..., PretrainSettings]
CPU = torch.device("cpu")


def losses(
    settings: PretrainSettings, corpus: Corpus, accelerator: Accelerator, *, steps: int = 4
) -> list[float]:
    training = start_training(settings, accelerator, corpus)
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    read = Reader(data, settings, CPU)
    found = []
    for step in range(steps):
        parts = step_batches(settings, accelerator, read, step)
        found.append(float(train_step(training, parts)["train/loss"]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"preprocess_on": "device"},
        {"residency": "ram"},
        {"residency": "device"},
        {"residency": "ram", "accumulation": 2},
    ],
)
@pytest.mark.parametrize("duration_s", [4, 5, 8])
def test_wherever_recordings_are_kept_and_prepared_the_training_is_the_same(
    make_settings: MakeSettings,
    corpus: Corpus,
    accelerator: Accelerator,
    changes: dict[str, Any],
    duration_s: int,
) -> None:
    """Windows shorter and longer than the recordings, which then are padded."""
    preprocess = {"sampling_rate": 50, "duration_s": duration_s, "band_hz": (0.5, 20)}
    host = losses(make_settings(preprocess=preprocess), corpus, accelerator)
    other = losses(make_settings(preprocess=preprocess, **changes), corpus, accelerator)
    np.testing.assert_allclose(other, host, rtol=1e-4)


def test_padding_counts_neither_in_the_loss_nor_as_a_target(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = make_settings(preprocess={"sampling_rate": 50, "duration_s": 8, "band_hz": None})
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    (part,) = step_batches(settings, accelerator, Reader(data, settings, CPU), 0)
    assert part.recorded.valid is not None and part.recorded.valid.sum(1).tolist() == [5] * 8
    assert part.mask.visible.shape == (8, 12, 2)  # a quarter of eight patches
    hidden_and_recorded = 5 - (part.mask.visible < 5).sum(-1)
    assert part.counted == int(hidden_and_recorded.sum())
    training = start_training(settings, accelerator, corpus)
    before = train_loss(training, part)
    part.batch.signal[..., 250:] = 99.0  # behind the recordings
    assert train_loss(training, part) == pytest.approx(before, rel=1e-6)


def train_loss(training: Training, part: Any) -> float:
    with torch.no_grad():
        arguments = model_arguments(training, part)
        return float(reconstruct(training, training.autoencoder, arguments).loss)


def test_recordings_of_other_shapes_are_not_held_and_most_must_be_alike(
    make_settings: MakeSettings, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Split(corpus, corpus.rows("train"), make_settings().preprocess)
    whole = Resident(data, CPU)(np.array([4, 2]))
    assert whole is not None and whole.keys == tuple(corpus.keys[data.rows[[4, 2]]])
    digital = [corpus.sample(int(data.rows[p])).record.digital for p in (4, 2)]
    assert np.array_equal(whole.digital.numpy(), digital)
    groups = corpus.shape_groups

    def others(rows: Any) -> np.ndarray:
        return np.where(np.isin(rows, data.rows[:apart]), -1, groups(rows))

    monkeypatch.setattr(corpus, "shape_groups", others)
    apart = 3
    most = Resident(data, CPU)
    again = most(np.array([4, 3]))
    assert most(np.array([4, 2])) is None and again is not None
    assert np.array_equal(again.digital[0].numpy(), digital[0])
    apart = len(data) // 2 + 1
    with pytest.raises(InputError, match=r"have one shape; expected.*Set residency=stream"):
        Resident(data, CPU)


def test_a_step_that_is_not_finite_can_be_skipped_and_changes_nothing(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = make_settings(non_finite="skip", max_skipped=2)
    training = start_training(settings, accelerator, corpus)
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    (part,) = step_batches(settings, accelerator, Reader(data, settings, CPU), 0)
    bad = part._replace(batch=part.batch._replace(signal=part.batch.signal * float("nan")))
    before = {name: value.clone() for name, value in training.autoencoder.state_dict().items()}
    for _ in range(2):
        train_step(training, [bad])
    for name, value in training.autoencoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    train_step(training, [part])
    assert training.step == 3 and training.finite.in_a_row == 0
    train_step(training, [bad])
    train_step(training, [bad])
    with pytest.raises(InputError, match=f"records {part.batch.keys[0]}"):
        train_step(training, [bad])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["independent", "alignment", "joint"])
@pytest.mark.parametrize("kind", ["random", "tube", "lead"])
def test_every_method_learns_under_every_mask(
    make_settings: MakeSettings,
    corpus: Corpus,
    accelerator: Accelerator,
    tiny_values: dict[str, Any],
    method: str,
    kind: str,
) -> None:
    masking = {"random": 0.0, "tube": 0.0, "lead": 0.0} | {kind: 1.0}
    model = tiny_values["model"]
    model = {
        "encoder": model["encoder"] | {"method": method},
        "decoder": model["decoder"] | {"attends": "all"},
        "masking": masking,
    }
    settings = make_settings(model=model, steps=30, warmup_steps=3)
    training = start_training(settings, accelerator, corpus)
    val = Split(corpus, corpus.rows("val"), settings.preprocess)
    before = validate(training, val)
    train = Split(corpus, corpus.rows("train"), settings.preprocess)
    read = Reader(train, settings, CPU)
    for step in range(20):
        train_step(training, step_batches(settings, accelerator, read, step))
    assert validate(training, val) < before


def test_masks_of_whole_leads_show_some_lead_of_every_recording(
    make_settings: MakeSettings,
    corpus: Corpus,
    corpus_with_limb_leads: Callable[..., Corpus],
    accelerator: Accelerator,
    tiny_values: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attention among absent leads alone is not finite; masks know the leads, or do not."""
    model = tiny_values["model"] | {"masking": {"random": 0.0, "lead": 1.0}}
    dropout = {"dropout_probability": 1.0, "dropout_strength": 0.8}
    settings = make_settings(model=model, augmentation=dropout)
    limb = corpus_with_limb_leads(corpus.rows("train")[::2])
    training = start_training(settings, accelerator, limb)
    data = Split(limb, limb.rows("train"), settings.preprocess)
    read = Reader(data, settings, CPU)
    for _ in ("foretold", "unaware"):
        for step in range(5):
            (part,) = step_batches(settings, accelerator, read, step)
            present, seen = part.batch.present, part.mask.seen
            assert present is not None and seen is not None
            assert present.gather(1, seen).any(1).all()
            assert (seen.diff(dim=1) > 0).all()
            assert np.isfinite(train_loss(training, part))
        monkeypatch.setattr(data, "present", lambda some: np.ones((len(some), 12), dtype=bool))


def test_bf16_trains_beside_fp32(
    make_settings: MakeSettings,
    corpus: Corpus,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = losses(make_settings(), corpus, accelerator)
    bf16 = lambda: torch.autocast("cpu", dtype=torch.bfloat16)  # noqa: E731
    monkeypatch.setattr(accelerator, "autocast", bf16)
    half = losses(make_settings(), corpus, accelerator)
    np.testing.assert_allclose(half, full, rtol=0.03)
    assert half != full


def test_masks_and_recordings_are_put_together(make_settings: MakeSettings, corpus: Corpus) -> None:
    settings = make_settings()
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    mask = Mask(torch.zeros(2, 12, 1, dtype=torch.int64))
    assert masked_batch(settings, data.batch([0, 1]), mask=mask).counted == 2 * 12 * 4

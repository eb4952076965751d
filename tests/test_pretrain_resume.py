"""A run goes on where it stopped, as what it was, and never from or to damaged weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from lamae.batches.dataset import Split
from lamae.errors import InputError
from lamae.runs.checksums import write_checksums
from lamae.runs.run_folder import OPTIMIZER, STATE, WEIGHTS, newest_checkpoint
from lamae.runs.tracking import read_metrics
from lamae.storage.corpus import Corpus
from pretrain import run as main
from pretrain.batches import Reader, step_batches
from pretrain.loop import Training, train_step
from pretrain.settings import PretrainSettings
from pretrain.start import start_training

MakeSettings = Callable[..., PretrainSettings]


def test_an_interrupted_run_ends_as_one_that_was_not(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    pretrained_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings()

    def interrupted_step(training: Training, parts: list[Any]) -> dict[str, torch.Tensor]:
        if training.step == 6:  # two steps after the checkpoint, which have to be done again
            raise KeyboardInterrupt
        return train_step(training, parts)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(main, "train_step", interrupted_step)
        main.pretrain(settings, accelerator)
    newest = newest_checkpoint(settings.run_dir)
    assert newest and newest.name == "step-00000004"
    assert [row["step"] for row in read_metrics(settings.run_dir)][-1] == 6

    main.pretrain(make_settings(resume=True), accelerator)
    for name in (f"model/{WEIGHTS}", f"checkpoints/step-00000008/{OPTIMIZER}"):
        assert (settings.run_dir / name).read_bytes() == (pretrained_run / name).read_bytes()
    resumed, whole = (_untimed(read_metrics(run)) for run in (settings.run_dir, pretrained_run))
    assert resumed == whole
    assert [row["step"] for row in whole if "train/loss" in row] == list(range(1, 9))


def _untimed(rows: list[dict[str, int | float]]) -> list[dict[str, int | float]]:
    machine = ("time/", "memory/")
    return [{k: v for k, v in row.items() if not k.startswith(machine)} for row in rows]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, r"seed: 0; expected 1, as configured"),
        ({"lr": 0.5}, r"lr: 0\.01; expected 0\.5"),
        ({"batch_size": 4}, r"batch_size: 8; expected 4"),
    ],
)
def test_a_run_does_not_go_on_with_settings_of_another(
    pretrained_run: Path,
    make_settings: MakeSettings,
    corpus: Corpus,
    accelerator: Accelerator,
    changes: dict[str, object],
    message: str,
) -> None:
    settings = make_settings(run_dir=pretrained_run, resume=True, **changes)
    with pytest.raises(InputError, match=message):
        start_training(settings, accelerator, corpus)


def test_a_folder_that_holds_a_run_is_refused_unless_it_is_resumed(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator, pretrained_run: Path
) -> None:
    message = rf"run folder {pretrained_run}: holds step-00000008; .*resume=true"
    with pytest.raises(InputError, match=message):
        start_training(make_settings(run_dir=pretrained_run), accelerator, corpus)
    settings = make_settings(run_dir=pretrained_run, resume=True)
    assert start_training(settings, accelerator, corpus).step == 8


def test_a_run_does_not_go_on_with_other_data(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator, pretrained_run: Path
) -> None:
    settings = make_settings(resume=True)
    shutil.copytree(pretrained_run, settings.run_dir)
    other = Corpus(corpus.folder)
    other.manifest["shards"][0]["sha256"] = "0" * 64
    with pytest.raises(InputError, match=r"step-00000008, corpus: shards with digest \w+; expect"):
        start_training(settings, accelerator, other)
    path = settings.run_dir / "checkpoints" / "step-00000008" / STATE
    state = json.loads(path.read_text())
    path.write_text(json.dumps({key: state[key] for key in ("step", "settings")}))
    write_checksums(path.parent)
    assert start_training(settings, accelerator, other).step == 8  # from an older version


def test_more_steps_on_resuming_are_allowed_and_named(
    make_settings: MakeSettings,
    corpus: Corpus,
    accelerator: Accelerator,
    pretrained_run: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    again = make_settings(run_dir=pretrained_run, resume=True)
    start_training(again, accelerator, corpus)
    assert not caplog.messages
    longer = make_settings(run_dir=pretrained_run, resume=True, steps=20)
    assert start_training(longer, accelerator, corpus).step == 8
    assert [text.partition(":")[0] for text in caplog.messages] == ["steps was 8 and is now 20"]


def test_the_seconds_of_a_run_are_those_of_all_its_parts(
    make_settings: MakeSettings, accelerator: Accelerator
) -> None:
    settings = make_settings(steps=4)
    main.pretrain(settings, accelerator)
    path = settings.run_dir / "checkpoints" / "step-00000004" / STATE
    state = json.loads(path.read_text())
    assert state["seconds"] > 0
    path.write_text(json.dumps(state | {"seconds": 1000.0}))
    write_checksums(path.parent)
    main.pretrain(make_settings(steps=4, resume=True), accelerator)
    summary = json.loads((settings.run_dir / "summary.json").read_text())
    assert 1000 < summary["seconds"] < 1100


def test_a_poisoned_batch_ends_training_before_it_reaches_the_weights(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = make_settings()
    training = start_training(settings, accelerator, corpus)
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    read = Reader(data, settings, torch.device("cpu"))
    for step in range(3):
        train_step(training, step_batches(settings, accelerator, read, step))
    training.save()
    before = [parameter.clone() for parameter in training.model.parameters()]
    (part,) = step_batches(settings, accelerator, read, 3)
    part.batch.signal[0, 0, 0] = float("nan")
    message = (
        r"training after 3 steps, lr \S+: loss nan, gradient norm nan with records .*; expected "
        r"finite numbers.* checkpoint is \S+step-00000003"
    )
    with pytest.raises(InputError, match=message):
        train_step(training, [part])
    now = training.model.parameters()
    assert all(torch.equal(old, new) for old, new in zip(before, now, strict=True))


def test_a_failure_on_another_process_ends_this_one(
    make_settings: MakeSettings,
    corpus: Corpus,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings()
    training = start_training(settings, accelerator, corpus)
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    parts = step_batches(settings, accelerator, Reader(data, settings, torch.device("cpu")), 0)
    parameters = list(training.model.parameters())

    def averaged_with_another(loss: torch.Tensor) -> None:
        """What the gradient is where that of another process, with which it is averaged, is NaN."""
        loss.backward()
        for parameter in parameters:
            parameter.grad = None if parameter.grad is None else parameter.grad * float("nan")

    monkeypatch.setattr(accelerator, "backward", averaged_with_another)
    with pytest.raises(InputError, match="training after 0 steps"):
        train_step(training, parts)


def test_weights_that_are_not_finite_are_never_saved(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = make_settings(lr=1e30, checkpoint_every=1, warmup_steps=1)
    training = start_training(settings, accelerator, corpus)
    training.save()
    with pytest.raises(InputError, match=r"expected finite numbers.*step-\d{8}"):
        main.pretrain(make_settings(**settings.model_dump() | {"resume": True}), accelerator)
    newest = newest_checkpoint(settings.run_dir)
    assert newest and not (settings.run_dir / "model").exists()
    resumed = start_training(
        make_settings(**settings.model_dump() | {"resume": True}), accelerator, corpus
    )
    assert all(torch.isfinite(p).all() for p in resumed.model.parameters())
    with torch.no_grad():
        next(resumed.model.parameters()).fill_(float("inf"))
    with pytest.raises(InputError, match="weights or moments"):
        resumed.save()

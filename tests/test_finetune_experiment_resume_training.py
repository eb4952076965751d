"""A run that was killed goes on after its last epoch, and ends as one that was not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from finetune.classifiers.folder import CLASSIFIER_FOLDER, load_classifier
from finetune.classifiers.scoring import Scored, score_recordings
from finetune.experiment.resume_training import PROGRESS
from finetune.reports import results
from finetune.run import finetune, interruption
from finetune.settings import FinetuneSettings
from finetune.training.fine_tuning import Training
from lamae.errors import InputError
from lamae.runs.run_folder import WEIGHTS
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus

MakeProbe = Callable[..., FinetuneSettings]
TRAINING = {"batch_size": 16, "micro_batch_size": 8, "lr": 3e-3, "hold_out": 0.25}
LASAN: dict[str, Any] = {
    "mode": "lasan",
    "encoder": None,
    "preprocess": {"sampling_rate": 50, "duration_s": 5, "band_hz": None},
    "baselines": ("supervised",),
    "lasan": {"channels": (8, 8), "kernel_size": 5, "depth": 1, "heads": 2, "hidden": 8},
    "training": {**TRAINING, "epochs": 3},
    "supervised": {**TRAINING, "epochs": 2},
    "examples": 0,
}
"""Three epochs of the network in question, then two of its baseline."""
ENCODER = {"training": {**TRAINING, "epochs": 3}, "baselines": ("random",), "examples": 0}


class KilledError(Exception):
    """Stand-in for the end of a process."""


def found_in(folder: Path) -> tuple[bytes, bytes, dict[str, Any], dict[str, Any]]:
    """Return weights, predictions, what was found, and what the classifier says of itself."""
    summary = json.loads((folder / SUMMARY).read_text())
    loaded = load_classifier(folder)
    about = {**loaded.about, "thresholds": loaded.thresholds}
    for own in (summary["config"], about["settings"]):
        own.pop("run_dir")
    for name in ("seconds", "command"):
        summary.pop(name)
    weights = (folder / CLASSIFIER_FOLDER / WEIGHTS).read_bytes()
    return weights, (folder / "predictions.csv").read_bytes(), summary, about


def killed_in(epoch: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kill the epoch of a number, over all candidates; return the list of those begun."""
    begun: list[str] = []
    original = Training.train_epoch

    def counted(training: Training, *given: Any) -> float:
        begun.append(training.classifier.architecture.mode)
        if len(begun) == epoch:
            raise KilledError
        return original(training, *given)

    monkeypatch.setattr(Training, "train_epoch", counted)
    return begun


@pytest.fixture(scope="module")
def uninterrupted(
    simulated_shards: Path, accelerator: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of the run of LASAN and its baseline that nothing stopped."""
    run_dir = tmp_path_factory.mktemp("uninterrupted") / "run"
    quick = {"label_set": "class", "multi_label": False, "resamples": 100, "cpu_threads": 1}
    quick["l2_grid"] = (1.0, 0.01)  # as `make_probe` has it
    values = {"data": simulated_shards, "run_dir": run_dir}
    finetune(FinetuneSettings.model_validate(LASAN | quick | values))
    assert not (run_dir / PROGRESS).exists()
    return run_dir


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [2, 4, 5])
def test_a_killed_run_ends_as_one_that_was_not_to_the_bit(
    epoch: int,
    uninterrupted: Path,
    make_probe: MakeProbe,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is killed in the classifier, before its baseline, or in this one."""
    settings = make_probe(run_dir=tmp_path / "run", **LASAN)
    with monkeypatch.context() as patch:
        begun = killed_in(epoch, patch)
        with pytest.raises(KilledError):
            finetune(settings)
    assert (
        begun == ["lasan", "lasan", "lasan", "cnn_attention_bilstm", "cnn_attention_bilstm"][:epoch]
    )
    capsys.readouterr()
    torch.manual_seed(99)  # must not matter
    left = killed_in(0, monkeypatch)
    finetune(settings)
    assert len(left) == 5 - epoch + 1
    assert f"kept in {tmp_path / 'run' / PROGRESS}" in capsys.readouterr().out
    assert found_in(tmp_path / "run") == found_in(uninterrupted)
    assert not (tmp_path / "run" / PROGRESS).exists()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["attention_probe", "probe_then_full"])
def test_a_mode_with_an_encoder_goes_on_to_the_bit(
    mode: str,
    make_probe: MakeProbe,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the first, the encoder is frozen and has no moments; the other starts from a probe."""
    for name, epoch in (("whole", 0), ("killed", 3)):
        settings = make_probe(mode=mode, run_dir=tmp_path / name, **ENCODER)
        with monkeypatch.context() as patch:
            killed_in(epoch, patch)
            if epoch:
                with pytest.raises(KilledError):
                    finetune(settings)
        if epoch:
            left = killed_in(0, monkeypatch)
        finetune(settings)
    assert len(left) == 4
    assert found_in(tmp_path / "killed") == found_in(tmp_path / "whole")


def test_nothing_is_trained_or_scored_again_where_the_report_fails(
    uninterrupted: Path,
    make_probe: MakeProbe,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KilledError

    settings = make_probe(run_dir=tmp_path / "run", **LASAN)
    with monkeypatch.context() as patch:
        patch.setattr(results, "write_report", fail)
        with pytest.raises(KilledError):
            finetune(settings)
    scored: list[str | None] = []

    def score(*given: Any, **more: Any) -> Scored:
        scored.append(more.get("name"))
        return score_recordings(*given, **more)

    begun = killed_in(0, monkeypatch)
    monkeypatch.setattr("finetune.experiment.train_and_score.score_recordings", score)
    finetune(settings)
    assert (begun, scored) == ([], [])
    assert found_in(tmp_path / "run") == found_in(uninterrupted)


@pytest.mark.slow
def test_a_run_of_other_settings_is_refused_and_overwrite_starts_anew(
    make_probe: MakeProbe,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        killed_in(2, patch)
        with pytest.raises(KilledError):
            finetune(make_probe(run_dir=folder, **LASAN))
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    other = LASAN | {"seed": 1, "baselines": ()}
    problem = "progress, settings.baselines: kept by a run with .'supervised'.; .*overwrite=true"
    with pytest.raises(InputError, match=problem):
        finetune(make_probe(run_dir=folder, **other))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == kept
    begun = killed_in(0, monkeypatch)
    finetune(make_probe(run_dir=folder, overwrite=True, **other))
    assert len(begun) == 3
    assert not (folder / PROGRESS).exists()


def test_recordings_that_have_become_unusable_since_are_noticed(
    make_probe: MakeProbe,
    accelerator: Accelerator,
    corpus_with_damage: Callable[..., Corpus],
    corpus: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The index and the manifest of the damaged shards are those of the whole ones."""
    damaged = corpus_with_damage(train=[3])
    values = LASAN | {"run_dir": tmp_path / "run", "max_unusable": 0.5}
    with monkeypatch.context() as patch:
        killed_in(2, patch)
        with pytest.raises(KilledError):
            finetune(make_probe(data=corpus.folder, **values))
    with pytest.raises(InputError, match="progress, recordings: kept by a run with"):
        finetune(make_probe(data=damaged.folder, **values))


def test_an_interruption_says_how_to_go_on(make_probe: MakeProbe, tmp_path: Path) -> None:
    told = interruption(make_probe(**LASAN), tmp_path / "run")
    assert f"the same command with run_dir={tmp_path / 'run'}" in told

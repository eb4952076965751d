"""A cross-validation that was killed goes on with the fits that are missing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator

from finetune.cross_validation.nested import FitAndScore, FoldScores
from finetune.cross_validation.results import OUT_OF_FOLD
from finetune.cross_validation.resume_folds import FOLDS, keep_fits
from finetune.cross_validation.run import _Runner
from finetune.data.tasks import Cohort, LabelledRows, Task
from finetune.evaluation.operating_points import Decisions
from finetune.experiment.resume import SavedProgress
from finetune.main import main
from lamae.runs.tracking import SUMMARY

OVERLAP = "allow_overlap=[pretraining_patients, pretraining_recordings]"
QUICK = (
    "label_set=class", "multi_label=false", "resamples=50", "cpu_threads=1", "baselines=[]",
    "folds=2", "examples=0",
)  # fmt: skip
PROBE = (*QUICK, "l2_grid=[1.0, 0.01]", "inner_folds=3", "repeats=2", "baselines=[random]", OVERLAP)
LASAN = (
    *QUICK, "mode=lasan", "lasan.channels=[4, 8]", "lasan.kernel_size=5", "lasan.depth=1",
    "lasan.heads=2", "lasan.hidden=8", "training.epochs=1", "training.batch_size=16",
    "training.micro_batch_size=8", "preprocess.sampling_rate=50", "preprocess.duration_s=2",
    "preprocess.band_hz=null",
)  # fmt: skip
"""One epoch of a network with a few hundred weights."""


class KilledError(Exception):
    """Stand-in for the end of a process."""


def cross_validate(data: Path, run_dir: Path, *arguments: str) -> None:
    main(["cross_validate", f"data={data}", f"run_dir={run_dir}", *arguments])


def found_in(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Return what a cross-validation found, without where and when."""
    summary = json.loads((folder / SUMMARY).read_text())
    for name in ("run_dir", "overwrite"):
        summary["config"].pop(name)
    summary.pop("command")
    return (folder / OUT_OF_FOLD).read_bytes(), summary


def killed_in(fit: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the fit of a number fail; return the list to which fits add their number."""
    fits: list[int] = []
    original = _Runner.fit_and_score

    def counted(runner: _Runner, cohort: Cohort) -> FitAndScore:
        inner = original(runner, cohort)

        def one(task: Task, number: int) -> Mapping[str, FoldScores]:
            fits.append(number)
            if number == fit:
                raise KilledError
            return inner(task, number)

        return one

    monkeypatch.setattr(_Runner, "fit_and_score", counted)
    return fits


@pytest.mark.slow
@pytest.mark.parametrize(("given", "number"), [(PROBE, 4), (LASAN, 2)], ids=["probe", "lasan"])
def test_a_killed_cross_validation_goes_on_with_the_fits_that_are_missing_to_the_bit(
    given: tuple[str, ...],
    number: int,
    simulated_shards: Path,
    pretrained_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "mode=lasan" not in given:
        given = (*given, f"encoder={pretrained_run}", f"embeddings={tmp_path / 'embeddings'}")
    cross_validate(simulated_shards, tmp_path / "whole", *given)
    assert "were done before" not in capsys.readouterr().out
    with monkeypatch.context() as patch:
        fits = killed_in(number - 1, patch)
        with pytest.raises(KilledError):
            cross_validate(simulated_shards, tmp_path / "run", *given)
        assert fits == list(range(number))
    assert len(list((tmp_path / "run" / FOLDS).iterdir())) == number - 1
    fits = killed_in(-1, monkeypatch)
    cross_validate(simulated_shards, tmp_path / "run", *given)
    assert f"{number - 1} of {number} fits were done before\n" in capsys.readouterr().out
    assert fits == [number - 1]
    assert found_in(tmp_path / "run") == found_in(tmp_path / "whole")
    assert not (tmp_path / "run" / FOLDS).exists()


def test_fits_of_other_settings_are_refused_and_done_anew_where_they_are_to_be_replaced(
    simulated_shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        killed_in(1, patch)
        with pytest.raises(KilledError):
            cross_validate(simulated_shards, folder, *LASAN, "lasan.hidden=9")
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        cross_validate(simulated_shards, folder, *LASAN)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "settings.lasan.hidden: kept by a run with 9; expected 8" in told
    assert "overwrite=true" in told and "another run_dir=" in told
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == kept
    fits = killed_in(-1, monkeypatch)
    cross_validate(simulated_shards, folder, *LASAN, "overwrite=true")
    assert fits == [0, 1]
    assert not (folder / FOLDS).exists()


def test_a_fit_comes_back_with_its_models_in_order_and_another_is_made(
    accelerator: Accelerator, tmp_path: Path
) -> None:
    """Nothing of a task is looked at: what the fits hang on is told to the progress."""
    generator = np.random.default_rng(0)
    nobody = LabelledRows(np.arange(0), np.zeros((0, 3), dtype=bool), [], 0, 0)
    task = Task(("a", "b", "c"), nobody, nobody)
    made: list[int] = []

    def fit(_: Task, number: int) -> Mapping[str, FoldScores]:
        made.append(number)
        found = {}
        for model in ("z", "a"):
            f1, specific, challenge = generator.random((3, 5, 3)) > 0.5
            has_threshold, decided = generator.random(3) > 0.5, np.array(model == "z")
            decisions = Decisions(f1, specific, challenge, has_threshold, decided)
            found[model] = FoldScores(generator.random((5, 3)), decisions)
        return found

    progress = SavedProgress(tmp_path / FOLDS, {}, accelerator=accelerator)
    first = keep_fits(fit, progress)(task, 3)
    again = keep_fits(fit, progress)(task, 3)
    assert made == [3]
    assert list(again) == list(first) == ["z", "a"]
    for model, scores in first.items():
        np.testing.assert_array_equal(again[model].probabilities, scores.probabilities)
        for found, value in zip(again[model].decisions, scores.decisions, strict=True):
            assert found.dtype == value.dtype
            np.testing.assert_array_equal(found, value)
    keep_fits(fit, progress)(task, 4)
    assert made == [3, 4]

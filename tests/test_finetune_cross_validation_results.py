"""The cost of a cross-validation, and its files where its end is not reached."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate.utils import broadcast_object_list

from finetune.cross_validation.results import OUT_OF_FOLD
from finetune.data.windows import usable_windows
from finetune.main import main
from finetune.training.linear_probe import LinearProbe
from lamae.batches.dataset import Usable
from lamae.errors import InputError
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus

QUICK = (
    "label_set=class", "multi_label=false", "resamples=50", "cpu_threads=1", "baselines=[]",
    "folds=2", "examples=0",
)  # fmt: skip
LASAN = (
    *QUICK, "mode=lasan", "lasan.channels=[4, 8]", "lasan.kernel_size=5", "lasan.depth=1",
    "lasan.heads=2", "lasan.hidden=8", "training.epochs=1", "training.batch_size=16",
    "training.micro_batch_size=8", "preprocess.sampling_rate=50", "preprocess.duration_s=2",
    "preprocess.band_hz=null",
)  # fmt: skip
"""One epoch of a network with a few hundred weights."""
OVERLAP = "allow_overlap=[pretraining_patients, pretraining_recordings]"


def cross_validate(data: Path, run_dir: Path, *arguments: str) -> None:
    main(["cross_validate", f"data={data}", f"run_dir={run_dir}", *arguments])


def test_a_recording_is_read_once_to_find_out_whether_it_can_be_used(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def count(data: Any, positions: np.ndarray, *more: Any) -> Usable:
        read.append(len(positions))
        return usable_windows(data, positions, *more)

    monkeypatch.setattr("finetune.data.usable.usable_windows", count)
    cross_validate(corpus.folder, tmp_path / "run", *LASAN)
    assert sum(read) == len(corpus)


def test_each_nested_probe_is_fitted_by_one_process_for_all(
    simulated_shards: Path, pretrained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[Any] = []

    def share(found: list[Any]) -> list[Any]:
        shared.extend(one for one in found if isinstance(one, LinearProbe))
        whole: list[Any] = broadcast_object_list(found)
        return whole

    monkeypatch.setattr("finetune.processes.broadcast_object_list", share)
    given = (f"encoder={pretrained_run}", "l2_grid=[1.0, 0.01]", "inner_folds=3", OVERLAP, *QUICK)
    cross_validate(simulated_shards, tmp_path / "run", *given)
    assert len(shared) == 2, "one for each fold"
    learnt = np.array([probe.held_out.records.sum() for probe in shared])
    assert (learnt == 48).all(), "thresholds are chosen on all that a fold learns from"


def test_scores_are_kept_where_measuring_them_fails(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **more: Any) -> None:
        raise InputError("measures", value="none", expected="some", remedy="This is a test.")

    monkeypatch.setattr("finetune.cross_validation.results.fold_scores", fail)
    with pytest.raises(SystemExit):
        cross_validate(corpus.folder, tmp_path / "run", *LASAN)
    assert not (tmp_path / "run" / SUMMARY).exists()
    with (tmp_path / "run" / OUT_OF_FOLD).open(newline="") as file:
        kept = {row["key"] for row in csv.DictReader(file)}
    assert kept == set(corpus.keys.tolist())

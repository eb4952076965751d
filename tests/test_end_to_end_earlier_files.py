"""Files of an earlier version, simulated recordings only: this one reads, scores and resumes them.

tests/before/README.md says how commit 47cbf80 made them.
"""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from finetune.anomaly.run_settings import AnomalyScoreSettings
from finetune.anomaly.score_file import score_file
from finetune.prediction.predict import predict
from finetune.prediction.settings import PredictSettings
from lamae.model.checkpoint import load_encoder
from lamae.runs.run_folder import checkpoint_folder
from lamae.runs.tracking import read_metrics
from lamae.storage.corpus import Corpus
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings

BEFORE = Path(__file__).parent / "before"
EXPECTED: dict[str, Any] = json.loads((BEFORE / "expected.json").read_text())


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_shards_hold_the_same_recordings() -> None:
    corpus = Corpus(BEFORE / "shards")
    assert corpus.keys.tolist() == EXPECTED["keys"]
    found = [corpus.record(row).digital[:, :3].tolist() for row in range(len(corpus))]
    assert found == EXPECTED["first_samples"]


@pytest.mark.parametrize("folder", ["run", "run/model", "run/checkpoints/step-00000002"])
def test_an_encoder_gives_the_same_embeddings(folder: str) -> None:
    model, preprocessor = load_encoder(BEFORE / folder)
    corpus = Corpus(BEFORE / "shards")
    signals = [preprocessor(corpus.record(row)).signal for row in range(len(corpus))]
    with torch.no_grad():
        found = model(torch.from_numpy(np.stack(signals)), preprocessor.leads).embedding
    torch.testing.assert_close(found, torch.tensor(EXPECTED["embeddings"]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["probe", "lasan"])
def test_a_classifier_gives_the_same_predictions(name: str, tmp_path: Path) -> None:
    values = {"model": BEFORE / name, "source": BEFORE / "shards", "output": tmp_path / "p.csv"}
    how = {"data_workers": 0, "layout": "wide"}
    predict(PredictSettings.model_validate(values | how))
    with_former_columns(tmp_path / "p.csv")
    assert_alike(tmp_path / "p.csv", BEFORE / f"{name}.csv", words=("key", "called", "problem"))


@pytest.mark.slow
def test_a_detector_gives_the_same_scores(tmp_path: Path) -> None:
    values = {"detector": BEFORE / "anomaly", "data": BEFORE / "shards"}
    values |= {"output": tmp_path / "s.csv"}
    settings = AnomalyScoreSettings.model_validate(values | {"data_workers": 0})
    score_file(settings)
    assert_alike(tmp_path / "s.csv", BEFORE / "anomaly.csv", words=("key", "abnormal", "problem"))


def test_a_run_resumes_from_its_checkpoint_as_the_earlier_version_did(
    accelerator: Accelerator, tmp_path: Path
) -> None:
    shutil.copytree(BEFORE / "run", tmp_path / "run")
    state = json.loads((checkpoint_folder(BEFORE / "run", 2) / "state.json").read_text())
    wanted = ("batch_size", "model", "seed", "warmup_steps", "validation_samples", "log_every")
    values = {name: state["settings"][name] for name in wanted}
    preprocess = state["settings"]["preprocess"] | {}
    preprocess["max_missing_share"] = preprocess.pop("largest_missing_share")
    places = {"data": BEFORE / "shards", "run_dir": tmp_path / "run", "preprocess": preprocess}
    how = {"resume": True, "steps": 4, "data_workers": 0, "cpu_threads": 1}
    pretrain(PretrainSettings.model_validate(values | places | how), accelerator)
    rows = [row for row in read_metrics(tmp_path / "run") if "train/loss" in row]
    found = {str(row["step"]): row["train/loss"] for row in rows}
    assert found == pytest.approx(EXPECTED["losses"], rel=1e-4)


def with_former_columns(path: Path) -> None:
    """Leave the columns of a table that the earlier version wrote, under its names."""
    rows = rows_of(path)
    for row in rows:
        del row["patient"], row["cautions"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writerows([{name: "key" if name == "recording" else name for name in rows[0]}])
        writer.writerows(rows)


def assert_alike(found: Path, expected: Path, *, words: tuple[str, ...]) -> None:
    """Hold two tables against each other: words exactly, numbers to five digits."""
    for ours, theirs in zip(rows_of(found), rows_of(expected), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            if name in words:
                assert ours[name] == value, name
            else:
                assert float(ours[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), name

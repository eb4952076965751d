"""Every mode from shards to a report, with its baselines, its classifier and its predictions."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from finetune.classifiers.folder import load_classifier
from finetune.data.windows import Averaged, LoaderOptions, average_over_windows
from finetune.experiment.candidates import make_candidates
from finetune.experiment.train_and_score import check_processes
from finetune.prediction.predict import predict
from finetune.prediction.settings import PredictSettings
from finetune.run import finetune
from finetune.run_settings import RunSettings
from finetune.settings import FinetuneSettings
from lamae.config import ConfigError, load_settings
from lamae.errors import InputError
from lamae.model.checkpoint import load_encoder
from lamae.model.encoder import Encoder
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus

CLASSES = ("AF", "LBBB", "sinus")
MakeProbe = Callable[..., FinetuneSettings]
QUICK: dict[str, Any] = {
    "lasan": {"channels": (8, 8), "kernel_size": 5, "depth": 1, "heads": 2, "hidden": 8},
    "training": {
        "epochs": 2,
        "batch_size": 16,
        "micro_batch_size": 8,
        "lr": 3e-3,
        "hold_out": 0.25,
    },
    "supervised": {"epochs": 1, "batch_size": 16, "micro_batch_size": 16, "hold_out": 0.25},
}
PREPROCESS = {"sampling_rate": 50, "duration_s": 5, "band_hz": None}
ENCODER_MODES = ("attention_probe", "full", "probe_then_full", "hybrid")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def probabilities(path: Path) -> np.ndarray:
    return np.array([[float(row[name]) for name in CLASSES] for row in read(path)])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ENCODER_MODES)
def test_a_mode_with_an_encoder_is_compared_with_random_weights_on_the_same_patients(
    mode: str, make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path
) -> None:
    settings = make_probe(mode=mode, **QUICK)
    finetune(settings)
    summary = json.loads((tmp_path / "probe" / SUMMARY).read_text())
    assert list(summary["candidates"]) == ["pretrained", "random"]
    for facts in summary["candidates"].values():
        aurocs = [epoch["hold_out_auroc"] for epoch in facts["epochs"]]
        assert facts["best_epoch"] == 1 + int(np.argmax(aurocs))
    assert summary["auroc_macro"]["estimate"] - summary["auroc_macro_random"][
        "estimate"
    ] == pytest.approx(summary["auroc_macro_difference"]["estimate"])
    loaded = load_classifier(tmp_path / "probe")
    assert loaded.classifier.architecture.mode == mode
    assert settings.encoder is not None
    before = load_encoder(settings.encoder).model.state_dict()
    now = loaded.classifier.model.get_submodule("encoder").state_dict()
    is_same = all(torch.equal(value, now[name]) for name, value in before.items())
    assert is_same == (mode == "attention_probe")
    assert ("lead_weights" in summary) == (mode in ("attention_probe", "hybrid"))
    assert ("gate" in summary) == (mode == "hybrid")
    for weights in summary.get("lead_weights", {}).values():
        assert sum(weights.values()) == pytest.approx(1)


@pytest.mark.slow
def test_networks_without_an_encoder_need_none_and_lasan_has_the_other_beside_it(
    make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path
) -> None:
    changes = {"encoder": None, "preprocess": PREPROCESS, "baselines": ("random", "supervised")}
    settings = make_probe(mode="lasan", run_dir=tmp_path / "lasan", **changes, **QUICK)
    finetune(settings)
    summary = json.loads((tmp_path / "lasan" / SUMMARY).read_text())
    assert list(summary["candidates"]) == ["lasan", "supervised"]
    assert {"auroc_macro_supervised", "auroc_macro_supervised_difference"} <= summary.keys()
    assert "auroc_macro_random" not in summary
    page = (tmp_path / "lasan" / "report.html").read_text()
    assert "Supervised network" in page and "Random weights" not in page
    own = make_probe(mode="cnn_attention_bilstm", **changes, **QUICK)
    assert own.compared_with == ()


@pytest.mark.slow
def test_a_saved_classifier_predicts_what_the_run_evaluated(
    make_probe: MakeProbe, accelerator: Accelerator, corpus: Corpus, tmp_path: Path
) -> None:
    for mode in ("probe", "full"):
        run, output = tmp_path / mode, tmp_path / f"{mode}.csv"
        finetune(make_probe(mode=mode, run_dir=run, baselines=(), **QUICK))
        asked = {
            "model": run,
            "source": corpus.folder,
            "output": output,
            "batch_size": 7,
            "layout": "wide",
        }
        settings = PredictSettings.model_validate(asked | {"splits": ("val",)})
        assert f"{len(corpus.rows('val'))} recordings answered" in predict(settings)[0]
        kept, again = run / "predictions.csv", output
        np.testing.assert_allclose(probabilities(again), probabilities(kept), atol=1e-5)
        keys = [row["recording"] for row in read(again)]
        assert (
            keys == [row["key"] for row in read(kept)] == corpus.keys[corpus.rows("val")].tolist()
        )
        labels = corpus.labels("class")
        truth = ["|".join(labels[row] or ()) for row in corpus.rows("val")]
        assert [row["labels"] for row in read(kept)] == truth
        with pytest.raises(InputError, match="exists"):
            predict(settings)


@pytest.mark.slow
def test_a_prediction_reads_and_computes_as_the_run_that_made_the_classifier(
    make_probe: MakeProbe,
    accelerator: Accelerator,
    corpus: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    precisions: list[str] = []

    def start(_: RunSettings, *, precision: str) -> Accelerator:
        precisions.append(precision)
        return accelerator

    monkeypatch.setattr("finetune.run.start", start)
    monkeypatch.setattr("finetune.prediction.shards.start", start)
    run = tmp_path / "run"
    changes = {"min_leads": 2, "precision": "bf16", "preprocess": PREPROCESS, "encoder": None}
    finetune(make_probe(mode="lasan", run_dir=run, baselines=(), **changes, **QUICK))
    asked = {"model": run, "source": corpus.folder, "output": tmp_path / "out.csv"}
    settings = PredictSettings.model_validate(asked)
    readings: list[LoaderOptions] = []

    def average(*given: Any, **more: Any) -> Averaged:
        readings.append(given[2])
        return average_over_windows(*given, **more)

    monkeypatch.setattr("finetune.prediction.shards.average_over_windows", average)
    predict(settings)
    predict(settings.model_copy(update={"min_leads": 5, "overwrite": True, "precision": "fp32"}))
    assert [reading.min_leads for reading in readings] == [2, 5]
    assert precisions == ["bf16", "bf16", "fp32"]


def test_processes_that_cannot_share_a_training_are_refused_before_it(
    make_probe: MakeProbe,
) -> None:
    for mode, baselines, is_trained in (
        ("probe", ("random",), False),
        ("probe", ("supervised",), True),
        ("full", (), True),
    ):
        candidates = make_candidates(make_probe(mode=mode, baselines=baselines), CLASSES)
        for processes in (1, 2, 4, 8):
            check_processes(candidates, processes)
        if is_trained:
            with pytest.raises(InputError, match=r"8 micro-batches of 8; .*3 processes can share"):
                check_processes(candidates, 3)
        else:
            check_processes(candidates, 3)


@pytest.mark.slow
def test_two_processes_train_the_classifier_of_one(
    launch: Callable[..., CompletedProcess[str]], make_probe: MakeProbe, tmp_path: Path
) -> None:
    """LASAN has dropout and batch statistics, which are those of micro-batches of fixed size."""
    settings = make_probe()
    options = [f"data={settings.data}", "label_set=class", "multi_label=false", "mode=lasan"]
    options += ["baselines=[]", "resamples=20", "cpu_threads=1", "preprocess.sampling_rate=50"]
    options += ["preprocess.duration_s=2", "preprocess.band_hz=null", "lasan.channels=[8, 8]"]
    options += ["lasan.heads=2", "lasan.depth=1", "training.epochs=2", "training.batch_size=16"]
    options += ["training.micro_batch_size=8", "training.hold_out=0.25"]
    found = []
    for processes in (1, 2):
        run_dir = tmp_path / str(processes)
        told = launch("finetune/main.py", *options, f"run_dir={run_dir}", processes=processes)
        assert told.returncode == 0, told.stderr
        found.append(load_classifier(run_dir).classifier.model.state_dict())
    one, two = found
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"classes": ("AF",), "multi_label": True, "eval_split": "train"}, "patients in both"),
        ({"preprocess": {"sampling_rate": 100}}, "preprocess.sampling_rate: 100; expected 50"),
        ({"encoder": None, "mode": "lasan", "preprocess": {"leads": ["V1", "V7"]}}, "V7"),
    ],
)
def test_what_cannot_be_trained_on_is_an_error_before_anything_is_written(
    changes: dict[str, Any],
    problem: str,
    make_probe: MakeProbe,
    accelerator: Accelerator,
    tmp_path: Path,
) -> None:
    with pytest.raises((InputError, ValueError), match=problem):
        finetune(make_probe(**(QUICK | changes)))
    assert not (tmp_path / "probe").exists()


def test_the_baselines_are_built_as_the_settings_say(make_probe: MakeProbe) -> None:
    candidates = make_candidates(
        make_probe(mode="full", baselines=("random", "supervised")), CLASSES
    )
    own, random, supervised = candidates.by_name.values()
    assert list(candidates.by_name) == ["pretrained", "random", "supervised"]
    assert isinstance(own.encoder, Encoder) and isinstance(random.encoder, Encoder)
    assert candidates.loaded is not None
    assert own.encoder is not candidates.loaded.model.encoder, (
        "training must not change the original"
    )
    assert not torch.equal(own.encoder.cls, random.encoder.cls)
    assert (own.training.layer_decay, random.training.layer_decay) == (0.75, 1.0)
    assert supervised.architecture.mode == "cnn_attention_bilstm"
    assert supervised.architecture.preprocess == own.architecture.preprocess


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["mode=full"], "mode full needs encoder="),
        (["mode=lasan", "training.loss=cross_entropy"], "cross_entropy does not fit"),
        (["mode=lasan", "multi_label=false", "supervised.loss=bce"], "supervised.loss bce"),
        (["mode=lasan", "training.batch_size=44"], "a multiple of micro_batch_size 8"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(arguments: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_settings(FinetuneSettings, ["data=somewhere", *arguments])

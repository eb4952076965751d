"""The program: its numbers, its report, and what it refuses to do."""

import html
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator

from finetune.data.tasks import LabelledRows, Task, make_task
from finetune.evaluation.ranking_measures import measure, summarise
from finetune.experiment.probe_features import fit_probe
from finetune.main import main
from finetune.reports import results
from finetune.run import choose_run_dir, finetune, interruption
from finetune.settings import FinetuneSettings
from finetune.training import logistic_regression
from finetune.training.embeddings import EmbeddingCache
from lamae.errors import InputError
from lamae.model.checkpoint import load_autoencoder
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus

PROGRAM = Path(__file__).resolve().parents[1] / "finetune" / "main.py"
CLASSES = ("AF", "LBBB", "sinus")
MakeProbe = Callable[..., FinetuneSettings]


@pytest.fixture(scope="module")
def probe_run(
    pretrained_run: Path,
    simulated_shards: Path,
    accelerator: Accelerator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return the folder of a finished probe."""
    run_dir = tmp_path_factory.mktemp("probe") / "run"
    values = {"encoder": pretrained_run, "data": simulated_shards, "run_dir": run_dir}
    options = {"label_set": "class", "multi_label": False, "l2_grid": (1.0, 0.01), "seed": 4}
    quick = {"resamples": 100, "cpu_threads": 1, "baselines": ("random",)}
    finetune(FinetuneSettings.model_validate(values | options | quick))
    return run_dir


@pytest.fixture
def summary(probe_run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((probe_run / SUMMARY).read_text())
    return content


def test_the_summary_holds_intervals_that_hold_their_estimates(summary: dict[str, Any]) -> None:
    macros = {
        f"{metric}_macro{suffix}"
        for metric in ("auroc", "auprc")
        for suffix in ("", "_random", "_difference")
    }
    assert macros <= summary.keys()
    for name in macros:
        found = summary[name]
        assert found.keys() == {"estimate", "low", "high"}
        assert found["low"] <= found["estimate"] <= found["high"]
    difference = summary["auroc_macro"]["estimate"] - summary["auroc_macro_random"]["estimate"]
    assert summary["auroc_macro_difference"]["estimate"] == pytest.approx(difference)
    classes = [summary["per_class"][name]["auroc"]["estimate"] for name in CLASSES]
    assert summary["auroc_macro"]["estimate"] == pytest.approx(np.mean(classes))


def test_the_summary_tells_how_its_numbers_came_about(
    summary: dict[str, Any], probe_run: Path, corpus: Corpus
) -> None:
    assert {"command", "versions", "seconds", "candidates"} <= summary.keys()
    assert summary["seed"] == summary["config"]["seed"] == 4
    assert FinetuneSettings.model_validate(summary["config"]).run_dir == probe_run
    labels = corpus.labels("class")
    for name, split in (("train", "train"), ("evaluation", "val")):
        rows = corpus.rows(split)
        patients = len({corpus.patients[row] for row in rows})
        left_out = {"unlabelled": 0, "without_class": 0, "several_classes": 0}
        counts = {"records": len(rows), "patients": patients, "unusable": {}, **left_out}
        assert summary["counts"][name] == counts
        assert summary["unusable"][name] == {}
    assert list(summary["candidates"]) == ["pretrained", "random"]
    assert all(found["l2"] in (1.0, 0.01) for found in summary["candidates"].values())
    assert max(found["gradient"] for found in summary["candidates"].values()) <= 1e-5
    positives = {name: found["positives"] for name, found in summary["per_class"].items()}
    evaluated = [labels[row] for row in corpus.rows("val")]
    assert positives == {name: evaluated.count((name,)) for name in CLASSES}


def test_a_class_that_a_simple_measure_finds_is_found(summary: dict[str, Any]) -> None:
    """Left bundle branch block doubles the width of the QRS complex."""
    assert summary["per_class"]["LBBB"]["auroc"]["estimate"] > 0.9


def test_the_report_shows_the_numbers_and_the_learning_curve(
    summary: dict[str, Any], probe_run: Path
) -> None:
    page = (probe_run / "report.html").read_text()
    assert f"{summary['auroc_macro']['estimate']:.3f}" in page
    assert f"{summary['auroc_macro_random']['estimate']:.3f}" in page
    promised = {SUMMARY, "report.html", "embeddings", "classifier", "predictions.csv"}
    promised |= {"figures", "tables", "predictions_random.csv", "report.json"}
    assert {path.name for path in probe_run.iterdir()} == promised
    figures = {"intervals", "roc", "precision_recall", "reliability", "confusion"}
    figures |= {"reconstruction", "learning_curve"}
    drawn = {path.name for path in (probe_run / "figures").iterdir()}
    assert {f"{name}.{kind}" for name in figures for kind in ("svg", "png")} <= drawn
    assert page.count("<svg") == len(drawn) / 2
    assert "groups" not in summary and "by group</h2>" not in page, "the shards hold no facts"


@pytest.mark.slow
def test_a_failed_report_does_not_block_the_next_run(
    make_probe: MakeProbe, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(results, "write_report", fail)
        with pytest.raises(OSError, match="no space"):
            finetune(make_probe())
    finetune(make_probe())


@pytest.mark.slow
def test_embeddings_are_taken_from_another_folder_where_one_is_given(
    make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    finetune(make_probe(embeddings=cache))
    assert len(list(cache.glob("*.safetensors"))) == 4  # two encoders, two splits
    assert not (tmp_path / "probe" / "embeddings").exists()
    monkeypatch.setattr(EmbeddingCache, "_features", None)  # called, it would raise
    finetune(make_probe(embeddings=cache, run_dir=tmp_path / "other"))


def test_an_interruption_promises_only_what_is_true(make_probe: MakeProbe, tmp_path: Path) -> None:
    run = tmp_path / "probe"
    assert f"kept in {run}/embeddings" in interruption(make_probe(), run)
    assert f"kept in {tmp_path}/c" in interruption(make_probe(embeddings=tmp_path / "c"), run)
    lasan = interruption(make_probe(mode="lasan", encoder=None, baselines=()), run)
    assert f"is in {run}/classifier" in lasan
    assert "embeddings" not in lasan


def test_an_interruption_names_the_folder_that_was_chosen(
    make_probe: MakeProbe, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = []

    def interrupt(run_dir: Path, *, overwrite: bool) -> None:
        chosen.append(run_dir)
        raise KeyboardInterrupt

    monkeypatch.setattr("finetune.run.check_free", interrupt)
    data = make_probe().data
    with pytest.raises(SystemExit) as ended:
        main(["mode=lasan", f"data={data}", "label_set=class", "baselines=[]"])
    assert ended.value.code == 130
    assert f"is in {chosen[0]}/classifier" in capsys.readouterr().err


@pytest.mark.slow
def test_a_fit_that_has_not_converged_is_a_finding(
    make_probe: MakeProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "did not converge" not in "".join(finetune(make_probe()))
    monkeypatch.setattr(logistic_regression, "_MOST_ITERATIONS", 1)
    settings = make_probe(overwrite=True)
    told = "\n".join(finetune(settings))
    assert settings.run_dir
    page = (settings.run_dir / "report.html").read_text()
    for text in (told, html.unescape(page)):
        assert "probe on the encoder 'random' did not converge" in text


@pytest.mark.slow
def test_results_are_replaced_only_on_demand(
    make_probe: MakeProbe, accelerator: Accelerator
) -> None:
    settings = make_probe()
    finetune(settings)
    assert settings.run_dir
    first = (settings.run_dir / SUMMARY).read_bytes()
    with pytest.raises(InputError, match=r"run folder .*probe: holds summary.json; .*overwrite=t"):
        finetune(make_probe(seed=1))
    assert (settings.run_dir / SUMMARY).read_bytes() == first
    finetune(make_probe(seed=1, overwrite=True))
    assert json.loads((settings.run_dir / SUMMARY).read_text())["seed"] == 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(
    make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path
) -> None:
    found = []
    for name in ("one", "two"):
        finetune(make_probe(run_dir=tmp_path / name))
        content = json.loads((tmp_path / name / SUMMARY).read_text())
        found.append([content[f"auroc_macro{s}"] for s in ("", "_random", "_difference")])
    assert found[0] == found[1]


def test_without_a_folder_results_go_into_a_new_one(make_probe: MakeProbe) -> None:
    found = choose_run_dir(make_probe(run_dir=None))
    assert found.parent == Path("runs")
    assert found.name.startswith("class-probe-")


def _with_random_labels(part: LabelledRows, generator: np.random.Generator) -> LabelledRows:
    drawn = generator.integers(0, 3, len(part.rows))
    return part._replace(labels=np.eye(3, dtype=bool)[drawn])


def test_labels_that_are_random_cannot_be_predicted(
    make_probe: MakeProbe, corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    settings = make_probe(l2_grid=(1e-2, 1e-4))
    assert settings.encoder is not None
    task, loaded = make_task(corpus, settings), load_autoencoder(settings.encoder)
    cache = EmbeddingCache(
        corpus,
        loaded.preprocessor,
        pooling="mean_max",
        batch_size=64,
        accelerator=accelerator,
        folder=tmp_path,
    )
    parts = (task.train, task.evaluation)
    own, seen = (cache.embed(loaded.model.encoder, part.rows, name="x").features for part in parts)
    estimates, holding = [], 0
    for seed in range(5):
        generator = np.random.default_rng(seed)
        train, evaluation = (_with_random_labels(part, generator) for part in parts)
        found = _auroc(own, seen, Task(CLASSES, train, evaluation), settings)
        estimates.append(found["estimate"])
        holding += found["low"] <= 0.5 <= found["high"]
        by_heart = _auroc(own, own, Task(CLASSES, train, train), settings)
        assert by_heart["estimate"] > 0.8, "a leak would show"
    assert holding >= 4
    assert abs(np.mean(estimates) - 0.5) < 0.1


def _auroc(
    train: np.ndarray, evaluation: np.ndarray, task: Task, settings: FinetuneSettings
) -> dict[str, float]:
    probe = fit_probe(train, task.train, task, settings)
    measured = measure({"pretrained": probe.scores(evaluation)}, task, settings)
    interval: dict[str, float] = summarise(measured)["auroc_macro"]
    return interval


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["label_sets=class"], "label_sets: unknown key. Did you mean label_set?"),
        (["label_set=rhythm"], "error: label set 'rhythm' of "),
        (["encoder=nowhere", "label_set=class"], "error: model folder nowhere: no such folder"),
    ],
)
def test_what_cannot_be_used_ends_the_program_with_its_name(
    make_probe: MakeProbe,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    problem: str,
) -> None:
    settings = make_probe()
    places = [f"{name}={getattr(settings, name)}" for name in ("encoder", "data", "run_dir")]
    monkeypatch.syspath_prepend(PROGRAM.parent)
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *places, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err
    assert settings.run_dir and not settings.run_dir.exists()

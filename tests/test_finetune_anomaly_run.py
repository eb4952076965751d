"""Runs of anomaly detection from the command: what they leave, and what they refuse."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune.anomaly.detector import training
from finetune.anomaly.detector.folder import load_detector
from finetune.anomaly.evaluate import evaluate_detector
from finetune.anomaly.run import detect, new_detector
from finetune.anomaly.run_settings import (
    AnomalyEvaluateSettings,
    AnomalyScoreSettings,
    AnomalySettings,
)
from finetune.anomaly.score_file import score_file
from finetune.main import main
from lamae.config import ConfigError, load_settings
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.statistics.metrics import auroc
from lamae.storage.corpus import Corpus

CPU = torch.device("cpu")
KINDS = ("cae", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("bottleneck", "lamae")))


def make_settings(kind: str, data: Path, encoder: Path, run_dir: Path) -> AnomalySettings:
    values: dict[str, Any] = {
        "data": data,
        "run_dir": run_dir,
        "kind": "vae_bilstm" if kind == "bottleneck" else kind,
        "encoder": encoder if kind == "lamae" else None,
        "vae": {"hidden": (8, 4), "latent": 3, "bottleneck": 5},
        "score": {"cae": "mse", "bottleneck": "attention", "lamae": "latent_distance"}[kind],
        "training": {"steps": 4, "batch_size": 4, "validate_every": 2, "kl": "sum"},
        "label_set": "class",
        "normal_class": "sinus",
        "hold_out": 0.3,
        "resamples": 50,
        "data_workers": 0,
        "cpu_threads": 1,
    }
    return AnomalySettings.model_validate(values)


@pytest.fixture(scope="module", params=KINDS)
def run(
    request: pytest.FixtureRequest,
    simulated_shards: Path,
    pretrained_run: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AnomalySettings:
    """Return the settings of a finished run."""
    folder = tmp_path_factory.mktemp("anomaly") / "run"
    settings = make_settings(request.param, simulated_shards, pretrained_run, folder)
    told = detect(settings)
    assert told[-1].endswith("report.html")
    return settings


def summary_of(settings: AnomalySettings) -> dict[str, Any]:
    assert settings.run_dir is not None
    found: dict[str, Any] = json.loads((settings.run_dir / "summary.json").read_text())
    return found


def test_the_summary_has_every_score_rule_and_count(run: AnomalySettings, corpus: Corpus) -> None:
    summary = summary_of(run)
    assert run.run_dir is not None
    detector, decision, _ = load_detector(run.run_dir)
    assert tuple(summary["ranking"]) == detector.architecture.scores
    assert set(summary["deciding"]) == {"percentile", "youden", "max_f1", "pot"}
    assert decision.score == summary["score"] == run.deciding_score
    assert decision.threshold == summary["deciding"]["percentile"]["threshold"]
    labels = [corpus.labels("class")[row] for row in corpus.rows("val")]
    evaluation = {"recordings": len(labels), "abnormal": sum(x != ("sinus",) for x in labels)}
    assert summary["counts"]["evaluation"] == evaluation
    for measures in (*summary["ranking"].values(), *summary["deciding"].values()):
        for found in (value for value in measures.values() if isinstance(value, dict)):
            assert 0 <= found["low"] <= found["estimate"] <= found["high"] <= 1


def test_what_pretraining_saw_of_the_threshold_s_recordings_is_told(run: AnomalySettings) -> None:
    summary = summary_of(run)
    told = [sentence for sentence in summary["audit"]["sentences"] if "pretraining saw" in sentence]
    assert len(told) == (run.kind == "lamae")
    if told:
        seen = summary["audit"]["thresholds"]["recordings"]
        assert seen == summary["counts"]["validation"]["recordings"]
        assert run.run_dir is not None
        assert told[0] in (run.run_dir / "report.html").read_text()


@pytest.mark.slow
def test_recordings_without_leads_are_neither_learnt_nor_counted(
    corpus: Corpus, corpus_with_limb_leads: Callable[..., Corpus], tmp_path: Path
) -> None:
    labels = corpus.labels("class")
    short = [
        row
        for split in ("train", "val")
        for kind in (True, False)
        for row in [r for r in corpus.rows(split) if (labels[r] == ("sinus",)) == kind][:2]
    ]
    data = corpus_with_limb_leads(short).folder
    few = make_settings("cae", data, tmp_path, tmp_path / "run")
    with pytest.raises(InputError, match=r"train split: .* recordings lack leads"):
        detect(few)
    assert not (tmp_path / "run").exists()
    settings = few.model_copy(update={"max_unusable": 0.5})
    detect(settings)
    summary = summary_of(settings)
    evaluation = [labels[row] for row in corpus.rows("val") if row not in short]
    assert summary["counts"]["evaluation"] == {
        "recordings": len(evaluation),
        "abnormal": sum(each != ("sinus",) for each in evaluation),
    }
    left_out = [
        key for part in summary["unusable"].values() for key in part.get("missing_leads", [])
    ]
    learnable = set(corpus.keys[short]) - set(left_out)
    trained = {corpus.keys[r] for r in corpus.rows("train") if labels[r] != ("sinus",)}
    assert learnable <= trained  # abnormal ones of training patients, which nobody reads
    counts = summary["counts"]
    normals = sum(labels[row] == ("sinus",) for row in corpus.rows("train"))
    validated = summary["counts"]["validation"]
    held_out = validated["recordings"] - validated["abnormal"]
    short_normals = sum(labels[row] == ("sinus",) for row in short if row in corpus.rows("train"))
    assert counts["training"]["recordings"] == normals - held_out - short_normals


def test_an_interruption_leaves_the_best_detector_without_a_threshold(
    simulated_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings("cae", simulated_shards, tmp_path, tmp_path / "run")

    def interrupted(step: int, _: object) -> float:
        if step == 2:  # after the first validation
            raise KeyboardInterrupt
        return 0.0

    monkeypatch.setattr(training, "beta_at", interrupted)
    with pytest.raises(KeyboardInterrupt):
        detect(settings)
    assert load_detector(tmp_path / "run").decision.threshold is None
    with pytest.raises(InputError, match="no threshold: its run was interrupted"):
        evaluate_detector(evaluation(settings, tmp_path / "evaluation"))
    places = {"detector": tmp_path / "run", "output": tmp_path / "scores.csv"}
    score_file(AnomalyScoreSettings(data=simulated_shards, splits=("val",), **places))
    with (tmp_path / "scores.csv").open() as file:
        assert all(row["mse"] and not row["called"] for row in csv.DictReader(file))


def test_a_file_in_the_place_of_the_run_is_refused_before_learning(
    simulated_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").write_text("a file")
    settings = make_settings("cae", simulated_shards, tmp_path, tmp_path / "run")
    monkeypatch.setattr("finetune.anomaly.run.learn", None)
    with pytest.raises(InputError, match=r"run folder .*run_dir="):
        detect(settings.model_copy(update={"overwrite": True}))


def test_another_preprocessor_than_the_encoder_s_is_refused(
    simulated_shards: Path, pretrained_run: Path, corpus: Corpus, tmp_path: Path
) -> None:
    settings = make_settings("lamae", simulated_shards, pretrained_run, tmp_path / "run")
    other = settings.model_copy(update={"preprocess": Preprocessor(sampling_rate=100)})
    with pytest.raises(InputError, match=r"preprocess\.sampling_rate: .* was trained"):
        new_detector(other, corpus)


def test_the_file_of_scores_gives_the_summary_s_auroc(run: AnomalySettings) -> None:
    assert run.run_dir is not None
    with (run.run_dir / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    abnormal = np.array([row["abnormal"] == "1" for row in rows])
    for name, measures in summary_of(run)["ranking"].items():
        score = np.array([float(row[name]) for row in rows])
        assert auroc(abnormal, score) == pytest.approx(measures["auroc"]["estimate"], abs=1e-3)


def test_the_report_needs_nothing_outside_and_shows_two_recordings(run: AnomalySettings) -> None:
    assert run.run_dir is not None
    page = (run.run_dir / "report.html").read_text()
    assert page.count("<svg") == 4
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "A typical normal recording" in page and "The highest score" in page


def test_scores_of_the_saved_detector_are_those_of_the_run(
    run: AnomalySettings, tmp_path: Path
) -> None:
    assert run.run_dir is not None
    output = tmp_path / "scores.csv"
    arguments = [f"detector={run.run_dir}", f"data={run.data}", f"output={output}", "splits=[val]"]
    (told,) = score_file(load_settings(AnomalyScoreSettings, arguments))
    assert str(output) in told
    with output.open() as file, (run.run_dir / "scores.csv").open() as own:
        theirs, ours = list(csv.DictReader(file)), list(csv.DictReader(own))
    assert [row["key"] for row in theirs] == [row["key"] for row in ours]
    for name in summary_of(run)["ranking"]:
        found = [float(row[name]) for row in theirs]
        assert found == pytest.approx([float(row[name]) for row in ours], rel=1e-4)
    assert [row["called"] for row in theirs] == [row["called"] for row in ours]


def evaluation(run: AnomalySettings, folder: Path, **changes: Any) -> AnomalyEvaluateSettings:
    values: dict[str, Any] = {
        "detector": run.run_dir,
        "data": run.data,
        "run_dir": folder,
        "splits": ["val"],
        "label_set": "class",
        "normal_class": "sinus",
        "resamples": 50,
        "data_workers": 0,
        "cpu_threads": 1,
    }
    return AnomalyEvaluateSettings.model_validate(values | changes)


def test_a_saved_detector_achieves_what_it_achieved_in_its_run(
    run: AnomalySettings, tmp_path: Path
) -> None:
    told = evaluate_detector(evaluation(run, tmp_path / "again"))
    assert told[-1].endswith("report.html") and (tmp_path / "again" / "report.html").is_file()
    found = json.loads((tmp_path / "again" / "summary.json").read_text())
    own = summary_of(run)
    for name, measures in own["ranking"].items():
        for measure, value in measures.items():
            again = found["ranking"][name][measure]["estimate"]
            assert again == pytest.approx(value["estimate"], abs=1e-6)
    for measure in ("threshold", "sensitivity", "specificity"):
        values = [s["deciding"][own["rule"]][measure] for s in (found, own)]
        assert values[0] == values[1] or values[0]["estimate"] == values[1]["estimate"]
    assert list(found["deciding"]) == [own["rule"]]
    assert "and the training recordings: 0 patients and 0 recordings" in " ".join(told)


def test_a_detector_is_not_evaluated_on_what_it_has_learnt_or_labels_that_tell_nothing(
    run: AnomalySettings, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="leakage from training"):
        evaluate_detector(evaluation(run, tmp_path / "leak", splits=["train"]))
    assert not (tmp_path / "leak" / "summary.json").exists()
    with pytest.raises(InputError, match="some of class unheard, and some others"):
        evaluate_detector(evaluation(run, tmp_path / "none", normal_class="unheard"))


def test_results_are_not_replaced_unasked(run: AnomalySettings) -> None:
    with pytest.raises(InputError, match="overwrite=true"):
        detect(run)


def test_windows_are_500_samples_at_the_rate_of_the_shards(
    simulated_shards: Path, corpus: Corpus
) -> None:
    detector = new_detector(AnomalySettings(data=simulated_shards, kind="cae"), corpus)
    preprocess = detector.architecture.preprocess
    assert (preprocess.sampling_rate, preprocess.samples) == (100, 500)


def test_the_command_of_the_program_leads_to_a_run(
    simulated_shards: Path,
    pretrained_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_dir = tmp_path / "run"
    places = [f"encoder={pretrained_run}", f"data={simulated_shards}", f"run_dir={run_dir}"]
    labels = ["label_set=class", "normal_class=sinus", "hold_out=0.3", "resamples=20"]
    main(["anomaly", "kind=lamae", *places, *labels, "cpu_threads=1", "data_workers=0"])
    assert "AUROC" in capsys.readouterr().out
    assert (run_dir / "summary.json").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["kind=lamae"], "needs encoder="),
        (["kind=cae", "allow_overlap=[training_patients]"], "allow_overlap"),
        (["kind=cae", "score=nll"], "score nll is none of mse"),
        (["vae.sequence_attention=false", "score=attention"], "score attention is none of"),
        (["vae.latent=20"], "multiple of 8 heads"),
        (["vae.bottleneck=5", "vae.hidden=[8, 6]"], "a multiple of 4"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(AnomalySettings, ["data=shards", *changes])

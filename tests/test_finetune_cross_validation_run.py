"""Cross-validation of a cohort: who is scored by whom, and whether its numbers are those scores."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from finetune.cross_validation.results import OUT_OF_FOLD
from finetune.main import main
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import INDEX, MANIFEST, Corpus, write_index

CLASSES = ("AF", "LBBB", "sinus")
OVERLAP = "allow_overlap=[pretraining_patients, pretraining_recordings]"
QUICK = ("label_set=class", "multi_label=false", "resamples=100", "cpu_threads=1", "baselines=[]")
PROBE = ("l2_grid=[1.0, 0.01]", "inner_folds=3", "folds=3", OVERLAP, *QUICK)
LASAN = (
    "mode=lasan", "folds=2", "lasan.channels=[4, 8]", "lasan.kernel_size=5", "lasan.depth=1",
    "lasan.heads=2", "lasan.hidden=8", "training.epochs=1", "training.batch_size=16",
    "training.micro_batch_size=8", "preprocess.sampling_rate=50", "preprocess.duration_s=5",
    "preprocess.band_hz=null", *QUICK,
)  # fmt: skip
"""One epoch of a network with a few hundred weights."""


class Run(NamedTuple):
    """A finished cross-validation."""

    folder: Path
    printed: str
    folds: int
    repeats: int
    models: tuple[str, ...]

    @property
    def rows(self) -> list[dict[str, str]]:
        """Rows of out_of_fold.csv."""
        with (self.folder / OUT_OF_FOLD).open(newline="") as file:
            return list(csv.DictReader(file))

    @property
    def summary(self) -> dict[str, Any]:
        """Content of summary.json."""
        content: dict[str, Any] = json.loads((self.folder / SUMMARY).read_text())
        return content


def cross_validate(data: Path, run_dir: Path, *arguments: str) -> str:
    """Run the verb, and return what it prints."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        main(["cross_validate", f"data={data}", f"run_dir={run_dir}", *arguments])
    return printed.getvalue()


@pytest.fixture(scope="module")
def probe(
    simulated_shards: Path, pretrained_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """Return two repeats of a probe beside random weights."""
    folder = tmp_path_factory.mktemp("cohort") / "probe"
    given = (f"encoder={pretrained_run}", *PROBE, "repeats=2", "baselines=[random]")
    printed = cross_validate(simulated_shards, folder, *given)
    return Run(folder, printed, 3, 2, ("pretrained", "random"))


@pytest.fixture(scope="module")
def lasan(simulated_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return one repeat of a network that is trained."""
    folder = tmp_path_factory.mktemp("cohort") / "lasan"
    return Run(folder, cross_validate(simulated_shards, folder, *LASAN), 2, 1, ("lasan",))


@pytest.fixture(params=["probe", "lasan"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return each of the two runs."""
    found: Run = request.getfixturevalue(request.param)
    return found


ChangeRows = Callable[[list[dict[str, Any]]], None]


def changed(shards: Path, folder: Path, change: ChangeRows) -> Path:
    """Copy shards, and change the rows of their index."""
    shutil.copytree(shards, folder)
    rows = pq.read_table(folder / INDEX).to_pylist()
    change(rows)
    write_index(folder / INDEX, rows)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("index")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.mark.slow
def test_every_recording_is_scored_once_in_each_repeat(run: Run, corpus: Corpus) -> None:
    rows = run.rows
    keys, truth = corpus.keys.tolist(), corpus.labels("class")
    assert len(rows) == len(keys) * run.repeats * len(run.models)
    for repeat in range(run.repeats):
        for model in run.models:
            own = [r for r in rows if (r["repeat"], r["model"]) == (str(repeat), model)]
            assert sorted(r["key"] for r in own) == sorted(keys)
            assert {r["fold"] for r in own} == {str(number) for number in range(run.folds)}
    labelled = {key: "|".join(classes or ()) for key, classes in zip(keys, truth, strict=True)}
    assert all(row["labels"] == labelled[row["key"]] for row in rows)
    sums = np.array([[float(row[name]) for name in CLASSES] for row in rows]).sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=2e-6)  # one class each: a softmax


def test_no_patient_is_on_both_sides_of_a_fold(run: Run, corpus: Corpus) -> None:
    patient = dict(zip(corpus.keys.tolist(), corpus.patients.tolist(), strict=True))
    folds: dict[tuple[str, str], set[str]] = {}
    for row in run.rows:
        folds.setdefault((row["repeat"], patient[row["key"]]), set()).add(row["fold"])
    assert len(folds) == run.repeats * len(set(patient.values()))
    assert all(len(numbers) == 1 for numbers in folds.values())
    sizes = [
        [sum(r == str(repeat) and n == {str(f)} for (r, _), n in folds.items()) for f in range(3)]
        for repeat in range(run.repeats)
    ]
    assert all(max(s[: run.folds]) - min(s[: run.folds]) <= 1 for s in sizes), "folds of one size"


def auroc(rows: list[dict[str, str]], name: str) -> float:
    """Return the mean AUROC of a class within folds, by their numbers of pairs."""
    values, pairs = [], []
    for fold in {row["fold"] for row in rows}:
        own = [row for row in rows if row["fold"] == fold]
        truth = [row["labels"] == name for row in own]
        if 0 < sum(truth) < len(truth):
            values.append(roc_auc_score(truth, [float(row[name]) for row in own]))
            pairs.append(sum(truth) * (len(truth) - sum(truth)))
    return float(np.average(values, weights=pairs))


def test_the_summary_holds_what_scikit_learn_finds_in_the_scores(run: Run) -> None:
    """Scores are kept with six digits, which can tie two that are not equal."""
    summary, rows = run.summary, run.rows
    for model in run.models:
        suffix = "" if model == run.models[0] else f"_{model}"
        by_repeat = [
            [
                auroc([r for r in rows if (r["repeat"], r["model"]) == (str(repeat), model)], name)
                for name in CLASSES
            ]
            for repeat in range(run.repeats)
        ]
        found = summary[f"auroc_macro{suffix}"]
        assert found["estimate"] == pytest.approx(np.mean(by_repeat), abs=1e-3)
        assert found["low"] <= found["estimate"] <= found["high"]
        for name, expected in zip(CLASSES, np.mean(by_repeat, axis=0), strict=True):
            estimate = summary["per_class"][name][f"auroc{suffix}"]["estimate"]
            assert estimate == pytest.approx(expected, abs=1e-3)
        if not suffix:
            means = np.mean(by_repeat, axis=1).tolist()
            assert summary["auroc_macro_by_repeat"] == pytest.approx(means, abs=1e-3)


def test_what_a_simple_measure_finds_is_found_out_of_fold(probe: Run) -> None:
    """Left bundle branch block doubles the width of the QRS complex."""
    assert probe.summary["per_class"]["LBBB"]["auroc"]["estimate"] > 0.85


def test_the_paired_difference_is_that_of_the_two_estimates(probe: Run) -> None:
    summary = probe.summary
    own, other = (summary[f"auroc_macro{suffix}"]["estimate"] for suffix in ("", "_random"))
    assert summary["auroc_macro_difference"]["estimate"] == pytest.approx(own - other)


def test_the_verb_leaves_the_files_and_says_the_numbers_that_it_names(
    run: Run, corpus: Corpus
) -> None:
    summary = run.summary
    patients = len(set(corpus.patients.tolist()))
    times = f"{run.folds} folds of {patients} patients, {run.repeats} times."
    assert f"Out of fold, {times}" in run.printed
    assert f"{summary['auroc_macro']['estimate']:.3f} [" in run.printed
    assert f"Results: {run.folder / SUMMARY}" in run.printed
    assert ("random weights" in run.printed) == ("random" in run.models)
    embeddings = {"embeddings"} if run.models[0] == "pretrained" else set()
    left = {SUMMARY, OUT_OF_FOLD, "report.html", "report.json", "figures", "tables"}
    assert {path.name for path in run.folder.iterdir()} == left | embeddings
    for found in summary["per_class"].values():
        called_or_missed = found["true_positive"] + found["false_negative"]
        assert called_or_missed == run.repeats * found["positives"]
    assert summary["counts"]["records"] == len(corpus)
    assert summary["counts"]["patients"] == patients
    assert summary["model"] == run.models[0]


def test_a_finished_run_is_refused_and_left_as_it_was(
    lasan: Run, simulated_shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in lasan.folder.rglob("*") if p.is_file()}
    with pytest.raises(SystemExit) as ended:
        cross_validate(simulated_shards, lasan.folder, *LASAN, "seed=1")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"run folder {lasan.folder}: holds {SUMMARY}" in told and "overwrite=true" in told
    assert {p: p.read_bytes() for p in lasan.folder.rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_the_same_seed_gives_the_same_scores_and_another_seed_others(
    probe: Run, simulated_shards: Path, pretrained_run: Path, tmp_path: Path
) -> None:
    given = (f"encoder={pretrained_run}", *PROBE, f"embeddings={probe.folder / 'embeddings'}")
    for seed in ("0", "1"):
        cross_validate(simulated_shards, tmp_path / seed, *given, f"seed={seed}")
    same, other = (Run(tmp_path / seed, "", 3, 1, ("pretrained",)).rows for seed in ("0", "1"))
    first = [r for r in probe.rows if (r["repeat"], r["model"]) == ("0", "pretrained")]
    assert same == first
    assert [r["fold"] for r in other] != [r["fold"] for r in same]


@pytest.mark.slow
def test_labels_that_are_dealt_out_at_random_cannot_be_predicted(
    simulated_shards: Path, pretrained_run: Path, tmp_path: Path
) -> None:
    """A patient keeps one class over his recordings: one who is on both sides would be known.

    The standard error of an AUROC with 16 against 32 patients is 0.09 (Hanley and McNeil 1982);
    that of the mean over three deals and three classes is at most 0.09 / sqrt(3) = 0.052.
    """
    found = []
    for seed in range(3):

        def deal(rows: list[dict[str, Any]], seed: int = seed) -> None:
            labels = {row["patient_id"]: row["labels"] for row in rows}
            generator = np.random.default_rng(seed)
            order = generator.permutation(len(labels))
            dealt = dict(zip(labels, [list(labels.values())[i] for i in order], strict=True))
            for row in rows:
                row["labels"] = dealt[row["patient_id"]]

        data = changed(simulated_shards, tmp_path / f"shards-{seed}", deal)
        given = (f"encoder={pretrained_run}", *PROBE)
        cross_validate(data, tmp_path / f"run-{seed}", *given)
        summary = json.loads((tmp_path / f"run-{seed}" / SUMMARY).read_text())
        found.append(summary["auroc_macro"]["estimate"])
    assert abs(np.mean(found) - 0.5) < 4 * 0.052


def test_one_recording_in_two_folds_is_refused(
    simulated_shards: Path,
    pretrained_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def copy(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["content"] = rows[0]["content"]

    data = changed(simulated_shards, tmp_path / "shards", copy)
    with pytest.raises(SystemExit) as ended:
        cross_validate(data, tmp_path / "run", f"encoder={pretrained_run}", *PROBE)
    assert ended.value.code == 2
    assert "the same recording in two" in capsys.readouterr().err
    assert not (tmp_path / "run" / OUT_OF_FOLD).exists()
    assert not (tmp_path / "run" / SUMMARY).exists()


def test_pretraining_on_the_cohort_is_refused_unless_it_is_allowed(
    simulated_shards: Path,
    pretrained_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    corpus: Corpus,
) -> None:
    given = (f"encoder={pretrained_run}", *PROBE, "allow_overlap=[]")
    with pytest.raises(SystemExit):
        cross_validate(simulated_shards, tmp_path / "run", *given)
    seen = len(set(corpus.patients[corpus.rows("train")].tolist()))
    told = capsys.readouterr().err
    assert f"leakage from pretraining into split 'train, val': {seen} patients and" in told


def test_only_the_splits_asked_for_are_the_cohort(
    simulated_shards: Path, tmp_path: Path, corpus: Corpus
) -> None:
    cross_validate(simulated_shards, tmp_path / "run", *LASAN, "splits=[train]")
    found = {row["key"] for row in Run(tmp_path / "run", "", 2, 1, ("lasan",)).rows}
    assert found == set(corpus.keys[corpus.rows("train")].tolist())

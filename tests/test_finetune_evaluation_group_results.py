"""Results by group: those of the recordings in it, and the rules that make groups."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from finetune.cross_validation.settings import CrossValidateSettings
from finetune.data.tasks import LabelledRows, Task
from finetune.evaluation.group_results import (
    NO_CLASS,
    TOO_FEW,
    UNKNOWN,
    GroupResult,
    groups_summary,
    make_groups,
    measure_groups,
)
from finetune.evaluation.ranking_measures import measure
from finetune.evaluation.recording_facts import fact_cells, group_facts
from finetune.experiment.candidate_results import CandidateResult, ExperimentResults
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import FORMAT, INDEX, MANIFEST, Corpus, write_index

RECORDS = 400
CLASSES = ("AF", "MI", "rare")
SETTINGS = FinetuneSettings.model_validate({"data": "shards", "mode": "lasan", "resamples": 60})


def corpus_of(folder: Path, facts: Mapping[str, list[str | None]]) -> Corpus:
    """Return shards that are an index alone, with facts about each recording."""
    rows = [
        {
            "key": str(row),
            "about": [(name, cells[row]) for name, cells in facts.items() if cells[row]],
        }
        for row in range(RECORDS)
    ]
    write_index(folder / INDEX, rows)
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "shards": []}))
    return Corpus(folder)


def results_of(seed: int = 0) -> ExperimentResults:
    """Return a classifier on 200 patients of two recordings, and a baseline that knows nothing."""
    generator = np.random.default_rng(seed)
    labels = generator.random((RECORDS, 3)) < (0.4, 0.3, 0.03)
    patients = [f"p{number // 2}" for number in range(RECORDS)]
    part = LabelledRows(np.arange(RECORDS), labels, patients, unlabelled=0, without_class=0)
    scores = 0.35 * labels + 0.6 * generator.random(labels.shape)
    by_candidate = {
        "lasan": CandidateResult(scores, np.full(3, 0.5), {}),
        "supervised": CandidateResult(generator.random(labels.shape), np.full(3, 0.5), {}),
    }
    return ExperimentResults(by_candidate, Task(CLASSES, part, part), {})


def measured(folder: Path, fact: str, cells: list[str | None]) -> dict[str, GroupResult]:
    found = measure_groups(results_of(), corpus_of(folder, {fact: cells}), [fact], SETTINGS)
    return {one.name: one for one in found}


def cells_by(*shares: tuple[str | None, int]) -> list[str | None]:
    cells = [name for name, number in shares for _ in range(number)]
    assert len(cells) == RECORDS
    return cells


def sklearn_auroc(kept: np.ndarray) -> list[float]:
    results = results_of()
    labels = results.task.evaluation.labels[kept]
    scores = results.by_candidate["lasan"].probabilities[kept]
    defined = [c for c in range(3) if 0 < labels[:, c].sum() < len(labels)]
    return [float(roc_auc_score(labels[:, c], scores[:, c])) for c in defined]


def test_a_group_has_the_auroc_of_its_recordings_and_their_difference_to_all(
    tmp_path: Path,
) -> None:
    found = measured(tmp_path, "sex", cells_by(("F", 250), ("M", 150)))
    for name, kept in (("F", np.arange(250)), ("M", np.arange(250, 400))):
        own, everyone = np.mean(sklearn_auroc(kept)), np.mean(sklearn_auroc(np.arange(RECORDS)))
        one = found[name]
        assert one.auroc_macro is not None and one.difference is not None
        assert one.auroc_macro.estimate == pytest.approx(own)
        assert one.difference.estimate == pytest.approx(own - everyone)
        assert one.auroc_macro.low < own < one.auroc_macro.high
        assert one.difference.low < own - everyone < one.difference.high
        assert [each.estimate for each in one.auroc.values()] == pytest.approx(sklearn_auroc(kept))
        assert (one.records, one.patients) == (len(kept), len(kept) // 2)


def test_a_class_that_a_group_lacks_is_in_neither_side_of_its_difference(tmp_path: Path) -> None:
    rare = results_of().task.evaluation.labels[:, 2]
    cells: list[str | None] = ["with" if has else "without" for has in rare]
    one = measured(tmp_path, "site", cells)["without"]
    everyone = sklearn_auroc(np.arange(RECORDS))[:2]
    assert tuple(one.auroc) == CLASSES[:2]
    assert one.difference is not None
    expected = np.mean(sklearn_auroc(~rare)) - np.mean(everyone)
    assert one.difference.estimate == pytest.approx(expected)


def test_a_group_of_everyone_has_the_headline_and_differs_by_nothing(tmp_path: Path) -> None:
    one = measured(tmp_path, "site", ["A"] * RECORDS)["A"]
    results = results_of()
    scores = {"lasan": results.by_candidate["lasan"].probabilities}
    headline = measure(scores, results.task, SETTINGS).models["lasan"]
    assert one.auroc_macro == headline.auroc_macro
    assert one.auroc == headline.auroc
    assert one.difference == (0, 0, 0)


def test_the_interval_of_a_difference_is_paired(tmp_path: Path) -> None:
    """All but a few recordings are in both: much of the sampling error cancels."""
    one = measured(tmp_path, "sex", cells_by(("F", 360), ("M", 40)))["F"]
    assert one.difference is not None and one.auroc_macro is not None
    width, own = (each.high - each.low for each in (one.difference, one.auroc_macro))
    assert 0 < width < own / 2


def test_classes_of_few_patients_are_marked_and_a_group_of_such_alone_has_a_reason(
    tmp_path: Path,
) -> None:
    found = measured(tmp_path, "site", cells_by(("A", 376), ("B", 14), ("C", 2), (None, 8)))
    labels = results_of().task.evaluation.labels
    patients = np.arange(RECORDS) // 2
    positive = len(set(patients[:376][labels[:376, 2]]))
    assert found["A"].few == (("rare",) if positive < 10 else ())
    assert found["A"].positive_patients["rare"] == positive
    for name in ("B", "C", UNKNOWN):
        assert found[name].auroc_macro is None
        assert found[name].reason == (NO_CLASS if not found[name].positive_patients else TOO_FEW)
    assert list(found) == ["A", "B", "C", UNKNOWN]
    told = groups_summary(list(found.values()))["groups"]["site"]
    assert told["B"]["records"] == 14 and "auroc_macro" not in told["B"]
    assert told["A"]["auroc_macro_difference"].keys() == {"estimate", "low", "high"}
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(
    ("fact", "cells", "expected"),
    [
        ("Age", ["17.9", "18", "39", "40", "300", "nan", None, "0", "-1", "90+", ">89"], {
            "0-17": [0, 7], "18-39": [1, 2], "40-59": [3], "80+": [4, 9, 10], UNKNOWN: [5, 6, 8],
        }),
        ("age", ["old", "young", "old"], {"old": [0, 2], "young": [1]}),
        ("weight", [str(kg) for kg in range(1, 21)], {
            "up to 5.75": [0, 1, 2, 3, 4], "over 5.75, up to 10.5": [5, 6, 7, 8, 9],
            "over 10.5, up to 15.25": [10, 11, 12, 13, 14], "over 15.25": [15, 16, 17, 18, 19],
        }),
        ("site", ["1.0", "7", *["2.0"] * 3, *map(str, range(10, 20))], {
            "2.0": [2, 3, 4], "1.0": [0], "10": [5], "11": [6], "12": [7], "13": [8], "14": [9],
            "15": [10], "5 others": [1, 11, 12, 13, 14],
        }),
        ("weight", ["1", "2", "1"], {"1": [0, 2], "2": [1]}),
        ("date", ["1999-01-02", "2001-12-31 10:00:00", "1999-07-08"], {
            "1999": [0, 2], "2001": [1],
        }),
        ("site", ["b", "a", *"ccdefghij", "Unknown"], {
            "c": [2, 3], "a": [1], "b": [0], "d": [4], "e": [5], "f": [6], "g": [7], "h": [8],
            "2 others": [9, 10], UNKNOWN: [11],
        }),
        ("sex", [None, "?"], {UNKNOWN: [0, 1]}),
    ],
)  # fmt: skip
def test_groups_follow_the_stated_rules(
    fact: str, cells: list[str | None], expected: dict[str, list[int]]
) -> None:
    found = {g.name: np.flatnonzero(g.member).tolist() for g in make_groups(fact, cells)}
    assert found == expected
    assert list(found) == list(expected)


def test_by_default_groups_are_age_and_sex_where_the_shards_have_them(tmp_path: Path) -> None:
    facts: dict[str, list[str | None]] = {
        name: ["1"] * RECORDS for name in ("Sex", "patient_age", "site")
    }
    corpus = corpus_of(tmp_path, facts)
    assert group_facts(corpus, None) == ("patient_age", "Sex")
    assert group_facts(corpus, ["SITE", "sex", "site"]) == ("site", "Sex")
    assert group_facts(corpus, ()) == ()


def test_an_unknown_fact_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, {"site": ["A"] * RECORDS, "sex": ["F"] * RECORDS})
    with pytest.raises(InputError, match="device") as raised:
        group_facts(corpus, ["sex", "device"])
    assert "sex, site" in str(raised.value)


def test_shards_without_facts_have_no_groups(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, {})
    assert group_facts(corpus, None) == ()
    assert groups_summary(measure_groups(results_of(), corpus, (), SETTINGS)) == {}
    with pytest.raises(InputError, match="quality flags"):
        group_facts(corpus, ["age"])


def test_recordings_are_grouped_by_how_they_were_recorded_and_what_quality_found(
    tmp_path: Path,
) -> None:
    rows = [
        {"key": "0", "leads": ["I", "II", "III"], "flags": ["noisy", "flat"], "sampling_rate": 500},
        {"key": "1", "leads": LEADS, "flags": [], "sampling_rate": 100},
        {"key": "2", "leads": LEADS[:-1], "flags": ["flat"], "sampling_rate": 100},
    ]
    write_index(tmp_path / INDEX, [{"about": [], "samples": 1000, **row} for row in rows])
    (tmp_path / MANIFEST).write_text(json.dumps({"format": FORMAT, "shards": []}))
    corpus, order = Corpus(tmp_path), np.array([2, 0, 1])
    named = group_facts(corpus, ["Quality_Flags", "leads present", "sampling rate"])
    assert named == ("quality flags", "leads present", "sampling rate")
    cells = [fact_cells(corpus, name, order) for name in named]
    assert cells == [
        ["flat", "flat, noisy", "no flag"],
        ["all but V6", "I, II, III", "all 12"],
        ["100 Hz", "500 Hz", "100 Hz"],
    ]


def test_facts_are_read_by_row(tmp_path: Path) -> None:
    age: list[str | None] = [str(row) if row % 3 else None for row in range(RECORDS)]
    corpus = corpus_of(tmp_path, {"age": age, "sex": ["F"] * RECORDS})
    assert corpus.facts() == ["age", "sex"]
    assert corpus.about("age") == age
    assert corpus.about("height") == [None] * RECORDS


@pytest.mark.slow
def test_a_run_leaves_groups_in_its_summary_page_and_tables(
    make_probe: Callable[..., FinetuneSettings], simulated_shards: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(simulated_shards, folder)
    rows = pq.read_table(folder / INDEX).to_pylist()
    for number, row in enumerate(rows):
        row["about"] = [("sex", "MF"[number % 2])]
    write_index(folder / INDEX, rows)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("index")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    finetune(make_probe(data=folder, baselines=()))
    run_dir = tmp_path / "probe"
    groups = json.loads((run_dir / SUMMARY).read_text())["groups"]["sex"]
    assert "Results by group" in (run_dir / "report.html").read_text()
    with (run_dir / "tables" / "groups.csv").open(newline="") as file:
        table = {row["Group"]: row for row in csv.DictReader(file)}
    assert table.keys() == groups.keys() == {"F", "M"}
    for name, row in table.items():
        assert int(row["Recordings"]) == groups[name]["records"]
        assert row["Remark"] == groups[name]["reason"]


def test_a_cross_validation_refuses_groups() -> None:
    given = {"data": "shards", "mode": "lasan", "run_dir": "run"}
    with pytest.raises(ValidationError, match="groups are of one classifier"):
        CrossValidateSettings.model_validate({**given, "groups": ["sex"]})

"""A comparison of finished runs: common recordings, paired differences, what labels are worth."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator

from finetune.classifiers.predictions import PREDICTIONS, write_predictions
from finetune.comparison.finished_runs import read_run
from finetune.comparison.label_efficiency import find_methods
from finetune.comparison.run import compare_runs
from finetune.comparison.settings import CompareSettings
from finetune.cross_validation.run import cross_validate_cohort
from finetune.cross_validation.settings import CrossValidateSettings
from finetune.overwriting import clear_results
from finetune.reports.results import baseline_predictions
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from lamae.errors import InputError
from lamae.statistics.metrics import auroc, class_scores, macro
from lamae.storage.corpus import Corpus

CLASSES = ("one", "two|2")
Finish = Callable[..., Path]
MakeProbe = Callable[..., FinetuneSettings]


@pytest.fixture
def finish(corpus: Corpus, tmp_path: Path) -> Finish:
    """Return a function that leaves what a finished run leaves, of scores drawn from a seed."""

    def make(
        name: str,
        *,
        draw: int,
        rows: Sequence[int] = range(40),
        classes: Sequence[str] = CLASSES,
        labels_of: int = 0,
        baselines: Sequence[str] = (),
        **config: Any,
    ) -> Path:
        folder, keys = tmp_path / name, corpus.keys[list(rows)].tolist()
        labels = np.random.default_rng(labels_of).random((len(corpus), len(classes))) < 0.4
        generator = np.random.default_rng(draw)
        for file in (PREDICTIONS, *map(baseline_predictions, baselines)):
            scores = generator.random((len(corpus), len(classes)))[list(rows)]
            write_predictions(
                folder / file, classes, keys, scores,
                called=scores > 0.5, problems={"broken": "damaged"}, labels=labels[list(rows)],
            )  # fmt: skip
        config = {"data": str(corpus.folder), "mode": "probe", "seed": 0} | config
        summary = {"config": config, "candidates": dict.fromkeys(["pretrained", *baselines])}
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return make


def compare(runs: Any, run_dir: Path, **changes: Any) -> dict[str, Any]:
    values = {"runs": runs, "run_dir": run_dir, "resamples": 60}
    compare_runs(CompareSettings.model_validate(values | changes))
    return dict(json.loads((run_dir / "summary.json").read_text()))


def scores_of(folder: Path, file: str = PREDICTIONS) -> tuple[np.ndarray, np.ndarray]:
    with (folder / file).open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["key"] != "broken"]
    labels = [[row["labels"] in (n, "|".join(CLASSES)) for n in CLASSES] for row in rows]
    return np.array(labels), np.array([[float(row[name]) for name in CLASSES] for row in rows])


@pytest.mark.slow
def test_runs_and_the_baselines_of_the_first_have_the_measures_that_they_had_alone(
    make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path
) -> None:
    whole = make_probe(run_dir=tmp_path / "whole")
    half = make_probe(run_dir=tmp_path / "half", label_fraction=0.5, seed=1)
    for settings in (whole, half):
        finetune(settings)
    found = compare([whole.run_dir, half.run_dir], tmp_path / "comparison")
    alone, other = (json.loads((r / "summary.json").read_text())
                    for r in (tmp_path / "whole", tmp_path / "half"))  # fmt: skip
    expected = {
        "whole": alone["auroc_macro"], "half": other["auroc_macro"],
        "random weights": alone["auroc_macro_random"],
        "random weights of half": other["auroc_macro_random"],
    }  # fmt: skip
    assert list(found["models"]) == list(expected)
    for name, value in expected.items():
        estimate = found["models"][name]["auroc_macro"]["estimate"]
        assert estimate == pytest.approx(value["estimate"], abs=1e-12)
        if name != "whole":
            difference = found["differences"][name]["auroc_macro"]["estimate"]
            assert difference == pytest.approx(
                alone["auroc_macro"]["estimate"] - value["estimate"], abs=1e-12
            )
    assert "What labels are worth" in (tmp_path / "comparison" / "report.html").read_text()
    with (tmp_path / "comparison" / "tables" / "label_efficiency.csv").open() as file:
        lines = [(row["Method"], row["Model"]) for row in csv.DictReader(file)]
    assert lines == [
        ("probe", "half"), ("probe", "whole"),
        ("probe: random weights", "random weights of half"),
        ("probe: random weights", "random weights"),
    ]  # fmt: skip


def test_only_recordings_and_classes_that_all_runs_have_are_compared(
    finish: Finish, tmp_path: Path
) -> None:
    first = finish("first", draw=1, rows=range(40))
    second = finish("second", draw=2, rows=range(30))
    found = compare([first, second], tmp_path / "out")
    assert found["counts"]["records"] == 30
    assert found["counts"]["left_out"] == {"first": 10, "second": 0}
    labels, scores = scores_of(first)
    expected = [auroc(labels[:30, i], scores[:30, i]) for i in range(2)]
    own = found["models"]["first"]["auroc"]
    assert [own[name]["estimate"] for name in CLASSES] == pytest.approx(expected, abs=1e-12)


def test_several_seeds_of_one_name_give_the_mean_of_their_measures(
    finish: Finish, tmp_path: Path
) -> None:
    runs = [finish(f"seed{n}", draw=n) for n in range(3)]
    other = finish("other", draw=9)
    found = compare({"LAMAE": runs, "other": other}, tmp_path / "out")
    each = [float(macro(class_scores(*scores_of(run)).auroc)) for run in runs]
    mean = found["models"]["LAMAE"]["auroc_macro"]["estimate"]
    assert mean == pytest.approx(np.mean(each), abs=1e-12)


def test_a_paired_difference_of_a_model_to_itself_is_nothing(
    finish: Finish, tmp_path: Path
) -> None:
    found = compare([finish("a", draw=1), finish("b", draw=1)], tmp_path / "out")
    assert found["differences"]["b"]["auroc_macro"] == {"estimate": 0, "low": 0, "high": 0}
    assert found["models"]["a"]["auroc_macro"]["low"] < found["models"]["a"]["auroc_macro"]["high"]


def test_shares_of_labels_make_a_method_where_all_else_is_equal_but_seeds(
    finish: Finish,
) -> None:
    configs: dict[str, dict[str, Any]] = {
        "all": {"label_fraction": 1.0},
        "few": {"label_fraction": 0.1, "subset_seed": 3, "seed": 4},
        "otherwise": {"label_fraction": 0.1, "mode": "full"},
        "more": {"label_fraction": 0.25},
    }
    arms = {name: [read_run(finish(name, draw=0, **config))] for name, config in configs.items()}
    assert find_methods(arms) == [["few", "more", "all"]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels_of": 1}, "other labels"),
        ({"classes": ("three",)}, "none in common"),
        ({"rows": range(60, 80)}, "none in common"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_with_the_reason(
    finish: Finish, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    runs = [finish("first", draw=1), finish("second", draw=2, **changes)]
    with pytest.raises(InputError, match=told):
        compare(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_finished_or_alone_is_refused(finish: Finish, tmp_path: Path) -> None:
    run = finish("first", draw=1)
    with pytest.raises(InputError, match="two or more"):
        compare([run], tmp_path / "out")
    (run / "summary.json").unlink()
    with pytest.raises(InputError, match=r"no summary\.json"):
        compare([run], tmp_path / "out")


def test_results_that_are_damaged_or_gone_are_named(finish: Finish, tmp_path: Path) -> None:
    run, other = finish("first", draw=1), finish("second", draw=2)
    lines = (run / PREDICTIONS).read_text().splitlines()
    (run / PREDICTIONS).write_text("\n".join([lines[0], "key,much,0.5,,,"]))
    with pytest.raises(InputError, match="cannot be read: could not convert"):
        compare([run, other], tmp_path / "out")
    (run / PREDICTIONS).write_text("\n".join([*lines[:5], lines[5][:12]]))
    with pytest.raises(InputError, match="some that are cut off"):
        compare([run, other], tmp_path / "out")
    (run / PREDICTIONS).unlink()
    with pytest.raises(InputError, match=r"cannot be read: .*predictions\.csv"):
        compare([run, other], tmp_path / "out")


def test_a_run_called_as_a_baseline_is_called_is_refused(finish: Finish, tmp_path: Path) -> None:
    first = finish("first", draw=1, baselines=["supervised"])
    runs = {"first": first, "supervised network": finish("second", draw=2)}
    with pytest.raises(InputError, match="a name of its own"):
        compare(runs, tmp_path / "out")
    found = compare({"first": first, "other": runs["supervised network"]}, tmp_path / "out")
    assert list(found["models"]) == ["first", "other", "supervised network"]


def test_what_is_compared_is_not_replaced(finish: Finish, tmp_path: Path) -> None:
    runs = [finish("first", draw=1), finish("second", draw=2)]
    before = (runs[0] / "summary.json").read_text()
    with pytest.raises(InputError, match="a folder of its own"):
        compare(runs, tmp_path / "other" / ".." / "first", overwrite=True)
    assert (runs[0] / "summary.json").read_text() == before


def test_the_summary_says_what_a_folder_holds_and_not_a_file_of_a_former_run(
    finish: Finish, tmp_path: Path
) -> None:
    runs = [finish("first", draw=1), finish("second", draw=2)]
    expected = compare(runs, tmp_path / "out")["models"]
    (runs[0] / "out_of_fold.csv").write_text("key,repeat,fold,model,one,labels\n")
    assert compare(runs, tmp_path / "again")["models"] == expected
    clear_results(runs[0])
    assert sorted(path.name for path in runs[0].iterdir()) == []


def test_several_methods_are_not_several_seeds(finish: Finish, tmp_path: Path) -> None:
    runs = [finish("a", draw=1, encoder="one"), finish("b", draw=2, encoder="two", seed=1)]
    other = finish("other", draw=3, mode="full")
    compare({"LAMAE": runs, "other": other}, tmp_path / "out")
    with pytest.raises(InputError, match="differ in mode"):
        compare({"LAMAE": [*runs, other], "more": finish("more", draw=4)}, tmp_path / "second")


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        (["a/0", "b/0"], "folders of one name"),
        ({"A": "a", "B": ["b", "a/../a"]}, "named twice"),
        ({"A": "a", "B": []}, "at least one folder"),
        ([], "at least one folder"),
    ],
)
def test_runs_that_cannot_be_told_apart_are_refused(runs: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        CompareSettings.model_validate({"runs": runs, "run_dir": tmp_path})


def test_recordings_that_the_shards_lack_are_named(
    finish: Finish, corpus: Corpus, tmp_path: Path
) -> None:
    runs = [finish("first", draw=1), finish("second", draw=2)]
    for run in runs:
        text = (run / PREDICTIONS).read_text()
        (run / PREDICTIONS).write_text(text.replace(str(corpus.keys[0]), "stranger", 1))
    with pytest.raises(InputError, match="not in them: stranger"):
        compare(runs, tmp_path / "out")


@pytest.mark.slow
def test_cross_validations_are_compared_on_the_same_folds_only(
    make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path
) -> None:
    overlap = ("pretraining_patients", "pretraining_recordings")
    values = make_probe(baselines=(), allow_overlap=overlap).model_dump()
    values |= {"folds": 3, "inner_folds": 3}
    runs: dict[str, Path] = {}
    changed: dict[str, dict[str, Any]] = {"strong": {"l2_grid": (10.0,)}, "otherwise": {"seed": 1}}
    changed["weak"] = {"l2_grid": (0.01,)}
    for name, changes in changed.items():
        runs[name] = tmp_path / name
        settings = CrossValidateSettings.model_validate(values | changes | {"run_dir": runs[name]})
        cross_validate_cohort(settings)
    found = compare({name: runs[name] for name in ("strong", "weak")}, tmp_path / "out")
    for name in ("strong", "weak"):
        alone = json.loads((runs[name] / "summary.json").read_text())["auroc_macro"]["estimate"]
        assert found["models"][name]["auroc_macro"]["estimate"] == pytest.approx(alone, abs=1e-12)
    with pytest.raises(InputError, match="other folds"):
        compare({name: runs[name] for name in ("strong", "otherwise")}, tmp_path / "second")


def test_detectors_are_compared_by_the_score_that_decides(
    finish: Finish, corpus: Corpus, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    abnormal, runs = generator.random(40) < 0.5, {}
    for name in ("cae", "vae"):
        folder = runs[name] = tmp_path / name
        folder.mkdir()
        scores = generator.random((40, 2))
        lines = [
            f"{key},{a:.9g},{b:.9g},0,{int(t)},"
            for key, (a, b), t in zip(corpus.keys, scores, abnormal, strict=False)
        ]
        text = ["key,mse,nll,called,abnormal,problem", *lines, "lost,,,,,damaged"]
        (folder / "scores.csv").write_text("\n".join(text))
        summary = {"score": "nll", "ranking": {}, "config": {"data": str(corpus.folder)}}
        (folder / "summary.json").write_text(json.dumps(summary))
        last = scores[:, 1]
    found = compare(runs, tmp_path / "out")
    assert found["models"]["vae"]["auroc_macro"]["estimate"] == pytest.approx(auroc(abnormal, last))

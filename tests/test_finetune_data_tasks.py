"""The recordings of a task, and labels that are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.data.label_rules import icd10_classes
from finetune.data.settings import Icd10Settings
from finetune.data.tasks import Task, make_task
from finetune.settings import FinetuneSettings
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.storage.corpus import FORMAT, INDEX, MANIFEST, Corpus, write_index
from lamae.storage.samples import Sample, metadata

Row = tuple[str, str, tuple[str, ...] | None]
"""Split, patient and classes of a recording."""

ROWS: list[Row] = [
    ("val", "p9", ("MI",)),
    ("train", "p1", ("NORM",)),
    ("train", "p1", ("MI", "HYP")),
    ("train", "p2", ()),
    ("val", "p8", None),
    ("train", "p3", None),
    ("train", "p4", ("HYP",)),
    ("val", "p9", ("NORM", "CD")),
]


def make_corpus(folder: Path, rows: list[Row]) -> Corpus:
    """Write a corpus of which only the index matters."""
    record = Record("r", np.zeros((1, 4), dtype=np.int16), ("I",), 100, (1.0,), (0,))
    place = {"shard": "a.tar", "offset": 0, "bytes": 8, "crc32": 0}
    samples = [
        Sample(f"k{number}", record, patient, split, labels={"superclass": classes})
        for number, (split, patient, classes) in enumerate(rows)
    ]
    write_index(folder / INDEX, ({**metadata(sample, "npy"), **place} for sample in samples))
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "shards": []}))
    return Corpus(folder)


def task(folder: Path, rows: list[Row] | None = None, **settings: Any) -> Task:
    values = {"encoder": "none", "data": folder, **settings}
    return make_task(make_corpus(folder, rows or ROWS), FinetuneSettings.model_validate(values))


def test_none_of_the_classes_is_negative_for_all_and_unlabelled_is_left_out(
    tmp_path: Path,
) -> None:
    found = task(tmp_path)
    assert found.train.rows.tolist() == [1, 2, 3, 6]
    assert found.train.labels.astype(int).tolist() == [[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert found.train.patients == ["p1", "p1", "p2", "p4"]
    assert (found.train.unlabelled, found.train.without_class) == (1, 0)
    other = task(tmp_path, classes=["MI", "NORM"])
    assert other.train.labels.astype(int).tolist() == [[0, 1], [1, 0], [0, 0], [0, 0]]


def test_a_single_class_is_a_yes_or_no_label(tmp_path: Path) -> None:
    found = task(tmp_path, classes=["MI"])
    assert found.classes == ("MI",)
    assert found.evaluation.rows.tolist() == [0, 7]
    assert found.evaluation.labels.tolist() == [[True], [False]]


def test_rows_to_keep_keep_their_labels_and_patients(tmp_path: Path) -> None:
    found = task(tmp_path).train
    kept = found.only(np.array([2, 6]))
    assert kept.rows.tolist() == [2, 6]
    assert kept.labels.astype(int).tolist() == [[1, 1, 0], [1, 0, 0]]
    assert kept.patients == ["p1", "p4"]
    for wrong in ([6, 2], [2, 5]):
        with pytest.raises(ValueError, match="rows to keep"):
            found.only(np.array(wrong))


def test_recordings_without_a_class_are_left_out_and_counted_where_asked(tmp_path: Path) -> None:
    found = task(tmp_path, require_class=True)
    assert found.classes == ("HYP", "MI", "NORM")
    assert found.train.rows.tolist() == [1, 2, 6]
    assert found.train.labels.astype(int).tolist() == [[0, 0, 1], [1, 1, 0], [1, 0, 0]]
    assert found.train.patients == ["p1", "p1", "p4"]
    assert (found.train.unlabelled, found.train.without_class) == (1, 1)
    assert found.evaluation.rows.tolist() == [0, 7]
    assert found.evaluation.labels.astype(int).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert found.evaluation.unlabelled == 1


def test_classes_are_those_asked_for_and_in_their_order(tmp_path: Path) -> None:
    found = task(tmp_path, classes=["NORM", "MI"], require_class=True)
    assert found.classes == ("NORM", "MI")
    assert found.train.rows.tolist() == [1, 2]
    assert found.train.labels.astype(int).tolist() == [[1, 0], [0, 1]]
    assert (found.train.unlabelled, found.train.without_class) == (1, 2)


def test_an_unknown_label_set_is_named_beside_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"label set 'rhythm' .*expected one of \['superclass'\]"):
        task(tmp_path, label_set="rhythm")


@pytest.mark.parametrize(
    ("classes", "named"), [(["MI"], "MI"), (["MI", "CD"], "CD"), (["MI", "MI"], "MI, MI")]
)
def test_one_class_or_one_that_training_lacks_is_refused(
    tmp_path: Path, classes: list[str], named: str
) -> None:
    message = rf"classes of label set 'superclass': {named}; .*HYP, MI, NORM"
    with pytest.raises(InputError, match=message):
        task(tmp_path, classes=classes, multi_label=False)


def test_a_class_that_training_lacks_is_left_out_where_asked(tmp_path: Path) -> None:
    found = task(tmp_path, classes=["MI", "CD", "HYP"], absent_classes="leave_out")
    assert found.classes == ("MI", "HYP")


def test_equivalent_codes_are_one_class(tmp_path: Path) -> None:
    found = task(tmp_path, classes=["MI|HYP", "NORM"])
    assert found.train.labels.astype(int).tolist() == [[0, 1], [1, 0], [0, 0], [1, 0]]


def test_recordings_with_several_classes_are_left_out_where_asked(tmp_path: Path) -> None:
    found = task(tmp_path, multi_label=False, several_classes="leave_out")
    assert found.train.rows.tolist() == [1, 6]
    assert (found.train.several_classes, found.train.without_class) == (1, 1)


def test_only_recordings_that_a_condition_names_are_used(tmp_path: Path) -> None:
    found = task(tmp_path, where={"superclass": ["HYP", "NORM"]}, classes=["HYP", "NORM"])
    assert found.train.rows.tolist() == [1, 2, 6]
    assert found.evaluation.rows.tolist() == [7]
    only = task(tmp_path, evaluate_where={"superclass": ["MI"]})
    assert (only.train.rows.tolist(), only.evaluation.rows.tolist()) == ([1, 2, 3, 6], [0])
    with pytest.raises(InputError, match=r"where\.superclass: none such, which no recording has"):
        task(tmp_path, where={"superclass": ["none such"]})


def test_a_share_of_the_patients_that_loses_a_class_is_refused(tmp_path: Path) -> None:
    found = task(tmp_path, label_fraction=0.75, classes=["HYP", "NORM"])
    assert len(set(found.train.patients)) == 2
    assert found.train.labels.any(axis=0).all()
    rows: list[Row] = [("train", "p1", ("MI",)), ("train", "p2", ("HYP",)), ("val", "p3", ("MI",))]
    with pytest.raises(InputError, match=r"label_fraction 0\.5.*1 patients, without positive"):
        task(tmp_path, rows, label_fraction=0.5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1", "0", "nan"], "'nan', a label of recording k2; expected no sign for a missing"),
        (["1", "0", "2", "high"], "'high', a label of recording k3; expected a number"),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    tmp_path: Path, labels: list[str], message: str
) -> None:
    rows: list[Row] = [("train", f"p{number}", (name,)) for number, name in enumerate(labels)]
    with pytest.raises(InputError, match=message):
        task(tmp_path, [*rows, ("val", "p9", ("1",))])


def test_icd10_codes_bring_their_ancestors_and_rare_ones_are_dropped() -> None:
    labels = [("I4891", "S72001A"), ("I48.1",), None, ("I10", "T45X")]
    found = icd10_classes(labels, Icd10Settings(min_recordings=1))
    assert found[0] == ("I48", "I489", "I4891", "S72", "S720", "S7200")  # five characters
    assert found[1:] == [("I48", "I481"), None, ("I10", "T45")]
    assert icd10_classes(labels, Icd10Settings(min_recordings=2)) == [("I48",), ("I48",), None, ()]
    most = icd10_classes(labels, Icd10Settings(min_recordings=1, ancestors=False, max_classes=1))
    assert most == [(), (), None, ("I10",)]  # of equally frequent ones the first by name


def test_a_training_split_of_one_class_is_refused(tmp_path: Path) -> None:
    rows: list[Row] = [("train", "p1", ("MI",)), ("train", "p2", ()), ("val", "p3", ("NORM",))]
    with pytest.raises(InputError, match="classes of label set 'superclass': MI; expected at le"):
        task(tmp_path, rows, multi_label=False)


def test_an_evaluation_split_without_a_class_is_refused(tmp_path: Path) -> None:
    rows: list[Row] = [*ROWS[1:3], ("val", "p7", ("CD",)), ("val", "p8", None)]
    with pytest.raises(InputError, match=r"split 'val' .*: none of 2 recordings has a class"):
        task(tmp_path, rows)


def test_a_patient_in_both_splits_is_refused(tmp_path: Path) -> None:
    rows: list[Row] = [*ROWS, ("val", "p4", ("MI",))]
    with pytest.raises(InputError, match=r"1 patients in both, e\.g\. p4"):
        task(tmp_path, rows)
    with pytest.raises(InputError, match="3 patients in both"):
        task(tmp_path, eval_split="train")


def test_several_classes_are_refused_where_each_recording_has_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 recordings with several classes, e\.g\. k2"):
        task(tmp_path, multi_label=False)
    found = task(tmp_path, multi_label=False, classes=["MI", "NORM"])
    assert (found.train.labels.sum(axis=1) == 1).all()

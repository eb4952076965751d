import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from lamae.errors import InputError
from lamae.storage.samples import SPLITS
from shards.build.split import assign_splits
from shards.entries import Entry, Listing, table_of
from shards.settings import ShardsSettings, Split


def entries(*patients: tuple[str, int | None]) -> list[Entry]:
    return [Entry(f"k{i}", f"k{i}", who, fold, {}) for i, (who, fold) in enumerate(patients)]


def splits_of(some: list[Entry], split: Split) -> list[str | None]:
    codes = assign_splits(Listing(table_of(some), [], 0), split)
    return [None if code < 0 else SPLITS[code] for code in codes]


def test_folds_go_to_their_split_and_the_others_are_left_out() -> None:
    split = Split(train=(1, 2), val=(9,), test=())
    found = splits_of(entries(("a", 1), ("b", 2), ("c", 9), ("d", 10), ("e", None)), split)
    assert found == ["train", "train", "val", None, None]


def test_a_patient_in_two_splits_is_an_error_that_names_the_patient() -> None:
    split = Split(train=(1,), val=(2,), test=(3,))
    with pytest.raises(InputError, match=r"1: Eve \(train, val\)"):
        splits_of(entries(("Eve", 1), ("Ann", 3), ("Ann", 3), ("Eve", 2)), split)


def test_a_patient_of_folds_in_one_split_or_in_none_is_fine() -> None:
    split = Split(train=(1, 2), val=(3,), test=())
    found = splits_of(entries(("Eve", 1), ("Eve", 2), ("Eve", 7)), split)
    assert found == ["train", "train", None]


def test_folds_of_a_source_without_folds_are_an_error() -> None:
    with pytest.raises(InputError, match="shares"):
        splits_of(entries(("a", None)), Split(train=(1,), val=(2,), test=(3,)))


def test_shares_divide_patients_and_keep_their_recordings_together() -> None:
    patients = [(f"p{i // 3}", None) for i in range(30_000)]
    found = splits_of(entries(*patients), Split(train=0.7, val=0.1, test=0.1))
    for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.1), (None, 0.1)):
        # Five standard deviations of a share of 10,000 patients.
        assert abs(found.count(name) / len(found) - share) < 5 * (share * (1 - share)) ** 0.5 / 100
    assert all(len(set(found[i : i + 3])) == 1 for i in range(0, len(found), 3))


def test_a_patient_keeps_the_split_whatever_else_there_is() -> None:
    some = entries(*((f"p{i}", None) for i in range(0, 200, 7)))
    everyone = entries(*((f"p{i}", None) for i in range(200)))
    split = Split(seed=5)
    of = dict(zip((e.patient_id for e in everyone), splits_of(everyone, split), strict=True))
    assert splits_of(some, split) == [of[e.patient_id] for e in some]
    assert splits_of(everyone, split) != splits_of(everyone, Split(seed=6))


@pytest.mark.parametrize(("part", "name"), [("train", "train"), ("test", "test")])
def test_a_share_of_1_takes_everyone(part: str, name: str) -> None:
    split = Split.model_validate({"train": 0, "val": 0, "test": 0, part: 1})
    assert set(splits_of(entries(*((f"p{i}", None) for i in range(300))), split)) == {name}


@pytest.mark.parametrize(
    "values",
    [
        {"train": [1], "val": 0.1, "test": [2]},
        {"train": [1], "val": [1], "test": []},
        {"train": [], "val": [], "test": []},
        {"train": 0.9, "val": 0.2, "test": 0.1},
        {"train": -0.1},
        {"train": 0.0, "val": 0.0, "test": 0.0},
    ],
)
def test_a_split_that_contradicts_itself_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Split.model_validate(values)


def test_workers_are_the_cores_of_the_process_or_where_none_can_tell_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 7, 9}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert ShardsSettings(source=tmp_path, output=tmp_path).workers == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert ShardsSettings(source=tmp_path, output=tmp_path).workers == 6

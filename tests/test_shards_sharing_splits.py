"""Splits travel as a file with a checksum, and a build takes them from it."""

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from shards.build.run import build_shards
from shards.rejects import read_rejects
from shards.settings import ShardsSettings
from shards.sharing.settings import SplitsSettings
from shards.sharing.splits import write_splits
from tests.conftest import small_build

Build = Callable[..., Corpus]


@pytest.fixture
def build(recordings: Path, tmp_path: Path) -> Build:
    """Return a function that builds the recordings in a folder of a name."""

    def run(name: str, **changes: Any) -> Corpus:
        output = tmp_path / name
        build_shards(ShardsSettings.model_validate(small_build(recordings, output, **changes)))
        return Corpus(output)

    return run


def shares(corpus: Corpus) -> dict[str, str]:
    rows = {split: corpus.rows(split) for split in corpus.splits()}
    return {str(corpus.keys[row]): split for split, some in rows.items() for row in some}


def test_a_build_takes_the_splits_of_another_whatever_its_seed(
    build: Build, tmp_path: Path
) -> None:
    first = build("first")
    file = tmp_path / "splits.csv"
    told = write_splits(SplitsSettings(data=first.folder, output=file))
    assert told["train"] == len(first.rows("train")) and len(told["sha256"]) == 64
    subprocess.run(["sha256sum", "-c", "splits.csv.sha256"], cwd=tmp_path, check=True)
    other = {"train": 0.3, "val": 0.7, "test": 0.0, "seed": 5}
    assert shares(build("drawn", split=other)) != shares(first)
    assert shares(build("given", split=other, splits=file)) == shares(first)


def test_the_file_holds_no_patient_but_a_hash(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, found = build("first"), {}
    monkeypatch.setenv("LAMAE_ID_KEY", "a secret of this test")
    for keyed in (False, True):
        file = tmp_path / f"{keyed}.csv"
        write_splits(SplitsSettings(data=corpus.folder, output=file, keyed=keyed))
        rows = list(csv.DictReader(file.read_text().splitlines()))
        assert {row["key"] for row in rows} == set(corpus.keys)
        found[keyed] = {row["patient"] for row in rows}
        assert len(found[keyed]) == len(set(corpus.patients))
        assert not found[keyed] & set(corpus.patients)
    assert not found[True] & found[False]


def test_recordings_that_the_file_lacks_are_rejects(build: Build, tmp_path: Path) -> None:
    corpus, file = build("first"), tmp_path / "splits.csv"
    write_splits(SplitsSettings(data=corpus.folder, output=file))
    (tmp_path / "splits.csv.sha256").unlink()
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:11], "new,new,h,test,"]) + "\n")
    again = build("given", splits=file)
    assert set(again.keys) == {line.split(",")[0] for line in lines[1:11]}
    left_out = [r for r in read_rejects(again.folder) if r.reason == "not_in_splits"]
    assert len(left_out) >= len(lines) - 11
    assert "1 recordings of splits.csv are not in the source" in again.manifest["doubts"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text + "x", "SHA-256"),
        (lambda text: "", "no rows"),
        (lambda text: "key,split\na,exam\n", "line 2"),
        (lambda text: "key,split\na,train\na,val\n", "line 3"),
        (lambda text: "key,split\nstranger,val\n", "none of"),
    ],
)
def test_a_file_of_no_use_is_refused(
    change: Callable[[str], str], expected: str, build: Build, tmp_path: Path
) -> None:
    corpus, file = build("first"), tmp_path / "splits.csv"
    write_splits(SplitsSettings(data=corpus.folder, output=file))
    file.write_text(change(file.read_text()))
    if expected != "SHA-256":
        (tmp_path / "splits.csv.sha256").unlink()
    with pytest.raises(InputError, match=expected):
        build("given", splits=file)
    with pytest.raises(InputError, match="it exists"):
        write_splits(SplitsSettings(data=corpus.folder, output=file))

"""What a store answers is believed as far as it can be checked."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lamae.errors import InputError
from lamae.remote import attempts
from lamae.remote.store import Store
from shards.remote.source import Mirror, fetch_listing


@pytest.fixture(autouse=True)
def _without_waiting_and_with_an_empty_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(attempts, "DELAYS_S", (0.0, 0.0, 0.0))
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_names_that_lead_out_of_a_store_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hostile(self: object, root: str, **named: object) -> dict[str, Any]:
        names = ("../escaped.csv", "/escaped.csv", "a/../../escaped.csv", "good.csv")
        return {f"{root}/{name}": {"size": 2} for name in names} | {"elsewhere/x.csv": {}}

    store = Store("memory://bucket")
    store.write("good.csv", b"ab")
    monkeypatch.setattr(MemoryFileSystem, "find", hostile)
    assert list(store.list(recursive=True)) == ["good.csv"]
    fetch_listing(Mirror(store.url, "folder", tmp_path / "mirror"))
    files = [path for path in tmp_path.rglob("*.csv") if path.is_file()]
    assert sorted(path.read_bytes() for path in files if "listing" in path.parts) == [b"ab"]
    assert not list(tmp_path.rglob("escaped*"))


def test_a_shortened_answer_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store("memory://bucket")
    store.write("table.csv", b"0123456789")
    answers = iter([b"0123", b"0123456789"])

    def short(self: object, place: str, to: str) -> None:
        Path(to).write_bytes(next(answers))

    monkeypatch.setattr(MemoryFileSystem, "get_file", short)
    assert store.fetch("table.csv", tmp_path / "table.csv", size=10)
    assert (tmp_path / "table.csv").read_bytes() == b"0123456789"


def test_a_table_that_changed_is_fetched_again(tmp_path: Path) -> None:
    store, mirror = Store("memory://bucket"), Mirror("memory://bucket", "folder", tmp_path)
    store.write("table.csv", b"first")
    store.write("old.npy", b"x")
    fetch_listing(mirror)
    store.remove("old.npy")
    store.write("table.csv", b"other")
    fetch_listing(mirror)
    assert {p.name: p.read_bytes() for p in mirror.listing.iterdir()} == {"table.csv": b"other"}


def test_an_entity_tag_that_is_an_md5_is_held_against_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = Store("memory://bucket"), tmp_path / "a.tar"
    file.write_bytes(b"content")
    for content, tag in ((b"content", ""), (b"content", "several-parts-2"), (b"c0ntent", "")):
        md5 = tag or hashlib.md5(content).hexdigest()

        def info(self: object, place: str, md5: str = md5) -> dict[str, Any]:
            return {"size": 7, "ETag": f'"{md5}"'}

        monkeypatch.setattr(MemoryFileSystem, "info", info)
        assert store.holds(file, "a.tar") == (content == b"content")


def test_a_source_that_is_not_there_is_named_by_its_url(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"source memory://absent: no files there"):
        fetch_listing(Mirror("memory://absent", "folder", tmp_path))

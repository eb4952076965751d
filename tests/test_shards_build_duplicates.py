"""The same recording twice, within a source or in another corpus, also where ids are hashed."""

from pathlib import Path
from typing import Any

import pytest

from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from shards.build.run import build_part, build_shards
from shards.settings import ShardsSettings
from tests.conftest import small_build

HASHED = {"hash_ids": True, "label_columns": ["class"]}


def settings(source: Path, output: Path, **changes: Any) -> ShardsSettings:
    return ShardsSettings.model_validate(small_build(source, output, **changes))


def test_the_same_recording_twice_is_kept_once_and_named(recordings: Path, tmp_path: Path) -> None:
    first = settings(recordings, tmp_path / "first")
    build_shards(first)
    (line,) = [x for x in (first.output / "rejects.csv").read_text().splitlines() if ",dup" in x]
    assert "the same recording as" in line
    flagged = settings(recordings, tmp_path / "flagged", duplicates="flag", codec="npy")
    assert build_shards(flagged)["flags"]["duplicate"] == 1
    corpus = Corpus(flagged.output)
    (sample,) = [s for s in map(corpus.sample, range(len(corpus))) if "duplicate" in s.flags]
    assert any(note.startswith("The same recording as") for note in sample.notes)
    twice = settings(recordings, tmp_path / "twice", duplicates="keep")
    assert build_shards(twice)["records"] == 23


def test_recordings_of_a_known_corpus_are_left_out(recordings: Path, tmp_path: Path) -> None:
    test_set = settings(recordings, tmp_path / "known", split={"train": 0, "val": 0, "test": 0.4})
    held_out = build_shards(test_set)["records"]
    rest = settings(recordings, tmp_path / "rest", known=[test_set.output])
    summary = build_shards(rest)
    assert held_out > 0 and summary["rejects"]["duplicate"] == 1 + held_out
    keys = set(Corpus(test_set.output).keys)
    assert keys.isdisjoint(Corpus(rest.output).keys)


def test_hashed_ids_tell_nothing_and_join_the_recordings_of_a_patient(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = settings(recordings, tmp_path / "hashed", **HASHED, codec="npy")
    with pytest.raises(InputError, match="label_columns: null with hash_ids=true"):
        build_shards(settings(recordings, tmp_path / "unnamed", hash_ids=True))
    with pytest.raises(InputError, match="LAMAE_ID_KEY: 0 bytes"):
        build_shards(build)
    monkeypatch.setenv("LAMAE_ID_KEY", "k" * 16)
    build_shards(build)
    plain = settings(recordings, tmp_path / "plain", codec="npy")
    build_shards(plain)
    hashed, named = Corpus(build.output), Corpus(plain.output)
    written = b"".join(p.read_bytes() for p in build.output.iterdir() if p.name != "summary.json")
    for identifier in (*set(named.patients), *named.keys):
        assert str(identifier).encode() not in written
    pairs = set(zip(hashed.patients, named.patients, strict=True))
    assert len(pairs) == len(set(named.patients)) == len(set(hashed.patients))
    assert [hashed.sample(row).split for row in range(len(hashed))] == [
        named.sample(row).split for row in range(len(named))
    ]
    known = settings(
        recordings,
        tmp_path / "k",
        hash_ids=True,
        label_columns=["class"],
        known=[plain.output],
        duplicates="flag",
    )
    assert build_shards(known)["flags"]["duplicate"] == 1 + len(named)
    others = Corpus(known.output)
    told = "".join(note for row in range(len(others)) for note in others.sample(row).notes)
    assert told and not any(key in told for key in named.keys)
    interrupted = settings(recordings, tmp_path / "other", **HASHED, part=0, parts=2)
    build_part(interrupted)
    monkeypatch.setenv("LAMAE_ID_KEY", "l" * 16)
    with pytest.raises(InputError, match="other id_key"):
        build_part(interrupted)

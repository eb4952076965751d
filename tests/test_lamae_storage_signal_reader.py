"""Many signals at once are those of their recordings, and damage has a name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lamae.storage.signal_reader
from lamae.ecg.record import MISSING, Record
from lamae.errors import InputError
from lamae.storage.corpus import FORMAT, INDEX, MANIFEST, Corpus, write_index
from lamae.storage.samples import Codec, Sample
from shards.build.encode import encode_sample
from shards.build.writer import ShardWriter


def alike(number: int, **changes: Any) -> Sample:
    """Make a sample that has the shape of all others, and scales of its own."""
    rng = np.random.default_rng(number)
    fields: dict[str, Any] = {
        "name": f"r{number}",
        "digital": rng.integers(-32768, 32768, (3, 50)).astype(np.int16),
        "leads": ("I", "aVL", "V1"),
        "sampling_rate": 500,
        "gain": tuple(rng.uniform(0.3, 5000, 3)),
        "baseline": tuple(rng.integers(-(2**20), 2**20, 3).tolist()),
    }
    return Sample(f"k{number}", Record(**{**fields, **changes}), f"p{number}", "train")


def write_corpus(
    folder: Path, samples: list[Sample], codec: Codec = "npy", *, per_shard: int = 99
) -> Path:
    """Write a corpus without the checks of a build."""
    rows, shards = [], []
    for first in range(0, len(samples), per_shard):
        with ShardWriter(folder / f"s-{first}.tar") as writer:
            chosen = samples[first : first + per_shard]
            rows += [writer.add(encode_sample(sample, codec)) for sample in chosen]
        shards.append(writer.describe())
    write_index(folder / INDEX, rows)
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "shards": shards}))
    return folder


@pytest.fixture(params=["npy", "ecg"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Write recordings of 50, 60, 60 and 80 samples."""
    lengths = (50, 60, 60, 80)
    digital = [np.full((3, length), number, np.int16) for number, length in enumerate(lengths)]
    samples = [alike(number, digital=each) for number, each in enumerate(digital)]
    return write_corpus(tmp_path, samples, request.param)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=20),
    st.sampled_from(["npy", "ecg"]),
    st.booleans(),
)
def test_a_batch_is_what_its_recordings_are_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], codec: Codec, alike_leads: bool
) -> None:
    scales = {"gain": (200.0,) * 3, "baseline": (0,) * 3} if alike_leads else {}
    samples = [alike(number, **scales) for number in range(10)]
    samples[3].record.digital[1, 7:9] = MISSING
    corpus = Corpus(write_corpus(tmp_path_factory.mktemp("alike"), samples, codec))
    records = [samples[row].record for row in rows]
    expected = np.stack([record.signal_mv() for record in records])
    for verify in (True, False):
        found = corpus.signals_mv(rows, verify=verify)
        np.testing.assert_allclose(found, expected, rtol=3e-7)  # a quotient, and a product
        digital = corpus.digital(rows, verify=verify)
        assert np.array_equal(digital, [record.digital for record in records])
    assert np.isnan(expected).any() or 3 not in rows


def test_a_batch_is_put_where_it_is_wanted(tmp_path: Path) -> None:
    corpus = Corpus(write_corpus(tmp_path, [alike(number) for number in range(4)]))
    signals, digital = np.full((3, 3, 50), 7, np.float32), np.full((3, 3, 50), 7, np.int16)
    assert corpus.signals_mv([2, 0, 3], signals) is signals
    assert corpus.digital(np.array([2, 0, 3]), digital) is digital
    assert np.array_equal(signals, corpus.signals_mv([2, 0, 3]))
    assert np.array_equal(digital, corpus.digital([2, 0, 3]))
    for wrong in (signals[:2], digital, signals.transpose(0, 2, 1), signals.astype(float)):
        with pytest.raises(ValueError, match=r"out: expected float32 \(3, 3, 50\)"):
            corpus.signals_mv([2, 0, 3], wrong)
    with pytest.raises(ValueError, match="no rows"):
        corpus.digital([])


def test_rows_of_different_shapes_are_refused_by_name(folder: Path) -> None:
    corpus = Corpus(folder)
    with pytest.raises(InputError, match=r"sample k1 has 60 samples.*; sample k3 has 80 samples"):
        corpus.signals_mv([1, 1, 3])
    assert corpus.digital([1, 1]).shape == (2, 3, 60)


def test_unverified_bytes_are_read_as_they_are_unless_they_are_compressed(folder: Path) -> None:
    path, row = folder / "s-0.tar", pq.read_table(folder / INDEX).to_pylist()[0]
    content = bytearray(path.read_bytes())
    content[row["offset"]] ^= 4
    path.write_bytes(content)
    corpus = Corpus(folder)
    if row["codec"] == "ecg":
        with pytest.raises(InputError, match="sample k0: cannot be decoded"):
            corpus.digital([0], verify=False)
    else:
        found = corpus.digital([0], verify=False)
        assert found[0, 0, 0] == 4 and np.count_nonzero(found) == 1


@pytest.mark.parametrize("mapped", [True, False])
def test_a_shard_that_is_cut_or_lost_while_it_is_open_is_an_error_and_no_crash(
    folder: Path, mapped: bool
) -> None:
    corpus, path = Corpus(folder), folder / "s-0.tar"
    last = pq.read_table(folder / INDEX).to_pylist()[3]
    if mapped:
        corpus.digital([3])
    with path.open("r+b") as file:
        file.truncate(last["offset"] + last["bytes"] - 1)
    with pytest.raises(InputError, match=r"sample k3: bytes .* of a shard of"):
        corpus.signals_mv([3])
    assert (corpus.digital([2]) == 2).all()
    with path.open("r+b") as file:
        file.truncate(0)
    with pytest.raises(InputError, match=r"sample k0: bytes"):
        corpus.sample(0)
    lost = Corpus(write_corpus(folder, [alike(0)]))
    path.unlink()
    with pytest.raises(InputError, match=r"shard .*s-0\.tar: .*No such file"):
        lost.record(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": 10**6}, "sample k1: bytes 1000000 to"),
        ({"offset": -1}, "sample k1: bytes -1 to"),
        ({"bytes": 3}, "sample k1: c"),
        ({"shard": "../other.tar"}, "other.tar: not a shard of the manifest"),
        ({"samples": 9}, "sample k1: cannot be decoded"),
    ],
)
def test_an_index_that_points_elsewhere_is_an_error_that_names_what_is_lost(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    (folder.parent / "other.tar").write_bytes(b"x" * 999)
    rows = pq.read_table(folder / INDEX).to_pylist()
    rows[1] |= change
    if "samples" not in change:
        rows[1] |= {"crc32": 0}
    write_index(folder / INDEX, rows)
    corpus = Corpus(folder)
    with pytest.raises(InputError, match=message):
        corpus.digital([1])
    assert corpus.digital([0]).shape == (1, 3, 50)


def test_no_more_shards_are_open_than_a_system_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lamae.storage.signal_reader, "_MOST_OPEN", 3)
    corpus = Corpus(write_corpus(tmp_path, [alike(number) for number in range(20)], per_shard=2))
    before = _open_files()
    for _ in range(2):
        records = [corpus.record(row) for row in range(20)]
    assert _open_files() - before <= 3
    for number, record in enumerate(records):
        assert np.array_equal(record.digital, alike(number).record.digital)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))

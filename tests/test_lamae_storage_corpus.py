import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lamae.storage.corpus
import lamae.storage.index
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.storage.corpus import FORMAT, INDEX, MANIFEST, Corpus, write_index
from lamae.storage.samples import Codec, Sample, encode_signal, metadata

SPLIT_OF = ("train", "train", "val", "train")
LABELS: tuple[dict[str, tuple[str, ...] | None], ...] = (
    {"form": ("A", "B")},
    {"form": ()},
    {"form": None},
    {},
)


def make_sample(number: int) -> Sample:
    digital = np.random.default_rng(number).integers(-99, 99, (2, 5 + number)).astype(np.int16)
    record = Record(f"r{number}", digital, ("I", "V1"), 500, (200.0, 0.5), (0, 3), ("note",))
    return Sample(f"k{number}", record, f"p{number // 2}", SPLIT_OF[number], labels=LABELS[number])


def write_corpus(
    folder: Path, samples: list[Sample], codec: Codec = "npy", *, per_shard: int = 99
) -> Path:
    """Write a corpus by hand: the signals lie anywhere in files that are called shards."""
    rows, shards = [], []
    for first in range(0, len(samples), per_shard):
        name, content = f"s-{first}.tar", b"x" * 77
        for sample in samples[first : first + per_shard]:
            signal = encode_signal(sample.record, codec)
            place = {"shard": name, "offset": len(content), "bytes": signal.stored}
            rows.append({**metadata(sample, codec), **place, "crc32": signal.crc32})
            content += signal.member[-signal.stored :] + b"y" * first
        (folder / name).write_bytes(content)
        shards.append({"file": name, "bytes": len(content)})
    write_index(folder / INDEX, iter(rows))
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "shards": shards}))
    return folder


@pytest.fixture(params=["npy", "ecg"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return write_corpus(tmp_path, [make_sample(number) for number in range(4)], request.param)


def test_every_sample_is_read_by_its_row(folder: Path) -> None:
    corpus = Corpus(folder)
    assert len(corpus) == 4
    for row in (3, 0, 2, 1, 1):
        found, expected = corpus.sample(row), make_sample(row)
        assert np.array_equal(found.record.digital, expected.record.digital)
        assert metadata(found, "npy") == metadata(expected, "npy")
        record = corpus.record(row)
        assert np.array_equal(record.digital, expected.record.digital)
        without_text = replace(expected.record, comments=(), digital=record.digital)
        assert vars(record) == vars(without_text)


def test_rows_are_those_of_a_split_and_an_unknown_split_is_refused(folder: Path) -> None:
    corpus = Corpus(folder)
    assert corpus.rows("train").tolist() == [0, 1, 3]
    assert corpus.keys[corpus.rows("val")].tolist() == ["k2"]
    assert corpus.patients.tolist() == ["p0", "p0", "p1", "p1"]
    with pytest.raises(InputError, match=r"'test'.*0 samples"):
        corpus.rows("test")
    for row in (-1, 4):
        with pytest.raises(IndexError):
            corpus.sample(row)


def test_no_class_differs_from_no_label(folder: Path) -> None:
    corpus = Corpus(folder)
    assert corpus.label_sets() == ["form"]
    assert corpus.labels("form") == [("A", "B"), (), None, None]
    with pytest.raises(InputError, match="rhythm"):
        corpus.labels("rhythm")


def test_rows_and_labels_do_not_depend_on_how_the_index_is_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lamae.storage.corpus, "_ROWS_PER_GROUP", 3)
    monkeypatch.setattr(lamae.storage.index, "_BATCH_ROWS", 2)
    samples = [make_sample(number % 4) for number in range(11)]
    for number, sample in enumerate(samples):
        cut = replace(sample.record, digital=sample.record.digital[:, :5])
        if number % 3 == 0:
            cut = replace(cut, leads=("V1",), digital=cut.digital[1:], gain=(3.0,), baseline=(1,))
        samples[number] = replace(sample, key=f"k{number}", record=cut)
    corpus = Corpus(write_corpus(tmp_path, samples))
    for row, sample in enumerate(samples):
        assert metadata(corpus.sample(row), "npy") == metadata(sample, "npy")
        expected = sample.record.signal_mv()
        np.testing.assert_allclose(corpus.signals_mv([row])[0], expected, rtol=3e-7)
    assert corpus.labels("form") == [sample.labels.get("form") for sample in samples]
    assert corpus.rows("val").tolist() == [2, 6, 10]


def test_a_changed_byte_is_noticed_when_its_sample_is_read(folder: Path) -> None:
    path = folder / "s-0.tar"
    content = bytearray(path.read_bytes())
    content[77] ^= 4
    path.write_bytes(content)
    corpus = Corpus(folder)
    for read in (corpus.sample, corpus.record):
        with pytest.raises(InputError, match="sample k0: checksum"):
            read(0)
        assert read(1) is not None
    for reads in (corpus.digital, corpus.signals_mv):
        with pytest.raises(InputError, match="sample k0: checksum"):
            reads([0])
        assert len(reads([1, 1])) == 2


@pytest.mark.parametrize("change", ["cut", "delete"])
def test_a_cut_or_missing_shard_is_noticed_at_once(folder: Path, change: str) -> None:
    path = folder / "s-0.tar"
    path.write_bytes(path.read_bytes()[:-1])
    if change == "delete":
        path.unlink()
    with pytest.raises(InputError, match=r"shard .*s-0\.tar"):
        Corpus(folder)


@pytest.mark.parametrize("change", ["cut", "delete", "nonsense", "other columns"])
def test_an_index_that_cannot_be_read_is_refused_by_name(
    folder: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / INDEX
    path.write_bytes(b"nonsense" if change == "nonsense" else path.read_bytes()[:-1])
    if change == "delete":
        path.unlink()
    if change == "other columns":
        schema = lamae.storage.corpus.INDEX_SCHEMA
        monkeypatch.setattr(
            lamae.storage.corpus, "INDEX_SCHEMA", schema.remove(schema.names.index("fold"))
        )
        write_index(path, [])
        monkeypatch.setattr(lamae.storage.corpus, "INDEX_SCHEMA", schema)
    with pytest.raises(InputError, match=r"index .*index\.parquet"):
        Corpus(folder)


def test_a_failed_index_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_index(tmp_path / INDEX, ({"samples": 1 // number} for number in (1, 0)))
    assert not list(tmp_path.iterdir())


def test_reading_a_corpus_needs_no_torch() -> None:
    code = "import sys, lamae.storage.corpus, shards.build.run; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0

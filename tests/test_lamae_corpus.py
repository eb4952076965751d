import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lamae.corpus import FORMAT, MANIFEST, Corpus, write_index
from lamae.errors import InputError
from lamae.record import Record
from lamae.samples import Sample, encode_signal, metadata, signal_crc32

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a corpus by hand: the raw samples lie anywhere in a file that is called a shard."""
    content, rows = b"x" * 77, []
    for number in range(4):
        sample = make_sample(number)
        raw = encode_signal(sample.record)[-2 * sample.record.digital.size :]
        place = {"shard": "a.tar", "offset": len(content), "crc32": signal_crc32(sample.record)}
        rows.append({**metadata(sample), **place})
        content += raw + b"y" * number
    (tmp_path / "a.tar").write_bytes(content)
    write_index(tmp_path, iter(rows))
    manifest = {"format": FORMAT, "shards": [{"file": "a.tar", "bytes": len(content)}]}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    return tmp_path


def test_every_sample_is_read_by_its_row(folder: Path) -> None:
    corpus = Corpus(folder)
    assert len(corpus) == 4
    for row in (3, 0, 2, 1, 1):
        found, expected = corpus.sample(row), make_sample(row)
        assert np.array_equal(found.record.digital, expected.record.digital)
        assert metadata(found) == metadata(expected)


def test_rows_are_those_of_a_split_and_an_unknown_split_is_refused(folder: Path) -> None:
    corpus = Corpus(folder)
    assert corpus.rows("train").tolist() == [0, 1, 3]
    assert corpus.keys[corpus.rows("val")].tolist() == ["k2"]
    assert corpus.patients.tolist() == ["p0", "p0", "p1", "p1"]
    with pytest.raises(InputError, match=r"'test'.*0 samples"):
        corpus.rows("test")


def test_no_class_differs_from_no_label(folder: Path) -> None:
    corpus = Corpus(folder)
    assert corpus.label_sets() == ["form"]
    assert corpus.labels("form") == [("A", "B"), (), None, None]
    with pytest.raises(InputError, match="rhythm"):
        corpus.labels("rhythm")


def test_a_changed_byte_is_noticed_when_its_sample_is_read(folder: Path) -> None:
    content = bytearray((folder / "a.tar").read_bytes())
    content[77] ^= 4
    (folder / "a.tar").write_bytes(content)
    corpus = Corpus(folder)
    with pytest.raises(InputError, match="sample k0: checksum"):
        corpus.sample(0)
    assert corpus.sample(1).key == "k1"


@pytest.mark.parametrize("change", ["cut", "delete"])
def test_a_cut_or_missing_shard_is_noticed_at_once(folder: Path, change: str) -> None:
    path = folder / "a.tar"
    path.write_bytes(path.read_bytes()[:-1])
    if change == "delete":
        path.unlink()
    with pytest.raises(InputError, match=r"shard .*a\.tar"):
        Corpus(folder)


def set_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


@pytest.mark.parametrize("change", ["cut", "delete", "nonsense"])
def test_an_index_that_cannot_be_read_is_refused_by_name(folder: Path, change: str) -> None:
    path = folder / "index.parquet"
    path.write_bytes(b"nonsense" if change == "nonsense" else path.read_bytes()[:-1])
    if change == "delete":
        path.unlink()
    with pytest.raises(InputError, match=r"index .*index\.parquet"):
        Corpus(folder)


@pytest.mark.parametrize("change", [{"rows": 5}, {"bytes": 1}, {"sha256": "0" * 64}])
def test_an_index_is_that_of_its_manifest(folder: Path, change: dict[str, object]) -> None:
    content = (folder / "index.parquet").read_bytes()
    entry = {
        "file": "index.parquet",
        "rows": 4,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    set_manifest(folder, index=entry)
    assert len(Corpus(folder)) == 4
    set_manifest(folder, index=entry | change)
    with pytest.raises(InputError, match=r"index .*index\.parquet: 4 rows"):
        Corpus(folder)


BAD_MANIFESTS = [
    None,
    "{",
    "[]",
    '{"format": "lamae-shards-0"}',
    '{"format": "lamae-shards-1"}',
    '{"format": "lamae-shards-1", "shards": [{"file": "a.tar"}]}',
    '{"format": "lamae-shards-1", "shards": [], "index": 3}',
]


@pytest.mark.parametrize("content", BAD_MANIFESTS)
def test_a_folder_that_is_no_corpus_is_refused(folder: Path, content: str | None) -> None:
    (folder / MANIFEST).unlink()
    if content is not None:
        (folder / MANIFEST).write_text(content)
    with pytest.raises(InputError, match=str(folder)):
        Corpus(folder)


def test_a_failed_index_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_index(tmp_path, ({"samples": 1 // number} for number in (1, 0)))
    assert not list(tmp_path.iterdir())


def test_reading_a_corpus_needs_no_torch() -> None:
    code = "import sys, lamae.corpus, shards.build; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0

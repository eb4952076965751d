import csv
import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.record import MISSING
from lamae.errors import InputError
from lamae.readers.wfdb.record_files import read_wfdb
from lamae.storage.corpus import MANIFEST, Corpus
from lamae.storage.samples import SPLITS
from shards.build.encode import EncodedSample, process_entry
from shards.build.run import build_shards
from shards.build.writer import ShardWriter
from shards.entries import Entry
from shards.settings import ShardsSettings

PARTS = (MANIFEST, "index.parquet", "rejects.csv")


def write_record(
    folder: Path, name: str, signal: np.ndarray, *, rate: float = 100, first_lead: str = "I"
) -> None:
    """Write int16 (leads, samples) in format 16; -32768 is missing."""
    leads = (first_lead, *LEADS[1 : len(signal)])
    lines = [f"{name} {len(signal)} {rate} {signal.shape[1]}"]
    lines += [f"{name}.dat 16 200(0)/mV 16 0 0 {sum(x) % 65536} 0 {n}"
              for x, n in zip(signal.tolist(), leads, strict=True)]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.hea").write_text("\n".join(lines))
    (folder / f"{name}.dat").write_bytes(signal.T.astype("<i2").tobytes())


def noise(seed: int, *, leads: int = 12, samples: int = 600) -> np.ndarray:
    return np.random.default_rng(seed).integers(-900, 900, (leads, samples)).astype(np.int16)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Nine recordings of nine patients in folds 1 (train), 9 (val), 10 (test) and 5 (no split)."""
    folder = tmp_path / "source"
    rows = ["record,patient_id,fold,rhythm,form"]
    for number, fold in enumerate((1, 1, 1, 1, 9, 9, 10, 5, 5)):
        write_record(folder / "sub", f"r{number}", noise(number, samples=500 + number))
        rows.append(f"sub/r{number},p{number},{fold},{'SR;PVC' if number % 2 else 'SR'},")
    (folder / "table.csv").write_text("\n".join(rows))
    return folder


def settings(source: Path, output: str = "out", **changes: Any) -> ShardsSettings:
    values = {
        "source": source,
        "output": source.parent / output,
        "split": {"train": [1], "val": [9], "test": [10]},
        "table": source / "table.csv",
        "workers": 1,
        "codec": "npy",
    }
    return ShardsSettings.model_validate({**values, **changes})


def shards_of(folder: Path, split: str) -> list[Path]:
    return sorted(folder.glob(f"{split}-*.tar"))


def test_the_corpus_holds_the_integers_of_the_recordings(source: Path) -> None:
    build = settings(source)
    build_shards(build)
    corpus = Corpus(build.output)
    assert corpus.keys.tolist() == [f"sub_r{number}" for number in range(7)]
    for row in range(len(corpus)):
        sample = corpus.sample(row)
        record = read_wfdb(source / sample.source)
        assert np.array_equal(sample.record.digital, record.digital)
        assert (sample.record.leads, sample.record.gain) == (record.leads, record.gain)
        assert (sample.patient_id, sample.fold) == (f"p{row}", (1, 1, 1, 1, 9, 9, 10)[row])
    assert corpus.labels("rhythm")[:2] == [("SR",), ("SR", "PVC")]
    assert {s: corpus.rows(s).tolist() for s in SPLITS} == {
        "train": [0, 1, 2, 3],
        "val": [4, 5],
        "test": [6],
    }


READ_BY_WEBDATASET = """
import io, json, sys
import numpy as np
import webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False):
    signal = np.load(io.BytesIO(sample["npy"]), allow_pickle=False)
    print(json.dumps([sample["__key__"], signal.tolist(), json.loads(sample["json"])]))
"""


def test_webdataset_reads_the_same_samples(source: Path) -> None:
    build = settings(source, shard_records=2)
    build_shards(build)
    urls = [str(path) for path in shards_of(build.output, "train")]
    # In a process of its own: webdataset leaves its files open, which is an error in a test.
    command = [sys.executable, "-c", READ_BY_WEBDATASET, *urls]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [json.loads(line) for line in printed.splitlines()]
    assert [key for key, _, _ in found] == [f"sub_r{number}" for number in range(4)]
    for number, (_, signal, fields) in enumerate(found):
        assert np.array_equal(signal, noise(number, samples=500 + number))
        assert fields["patient_id"] == f"p{number}" and fields["split"] == "train"


def test_a_shard_is_a_plain_tar_without_times_and_owners(source: Path) -> None:
    build = settings(source)
    build_shards(build)
    (path,) = shards_of(build.output, "val")
    assert path.stat().st_size % tarfile.RECORDSIZE == 0
    with tarfile.open(path, "r:") as tar:
        members = tar.getmembers()
    assert [m.name for m in members] == [
        "sub_r4.npy",
        "sub_r4.json",
        "sub_r5.npy",
        "sub_r5.json",
    ]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}


def test_the_manifest_tells_the_truth(source: Path) -> None:
    build = settings(source, shard_records=2)
    summary = build_shards(build)
    manifest = json.loads((build.output / MANIFEST).read_text())
    tars = [path.name for split in SPLITS for path in shards_of(build.output, split)]
    assert [shard["file"] for shard in manifest["shards"]] == tars and len(tars) == 4
    for shard in manifest["shards"]:
        content = (build.output / shard["file"]).read_bytes()
        assert shard["bytes"] == len(content)
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            assert 2 * shard["samples"] == len(tar.getmembers())
    assert manifest["splits"] == {
        "train": {"records": 4, "patients": 4},
        "val": {"records": 2, "patients": 2},
        "test": {"records": 1, "patients": 1},
    }
    index = build.output / "index.parquet"
    assert manifest["index"] == {
        "file": index.name,
        "rows": 7,
        "bytes": index.stat().st_size,
        "sha256": hashlib.sha256(index.read_bytes()).hexdigest(),
    }
    assert manifest["left_out"] == 2 and manifest["rejects"] == {}
    assert manifest["label_sets"]["rhythm"] == {
        "unlabelled": {"train": 0, "val": 0, "test": 0},
        "classes": {
            "PVC": {"train": 2, "val": 1, "test": 0},
            "SR": {"train": 4, "val": 2, "test": 1},
        },
    }
    assert summary["records"] == 7 and summary["seed"] is None


def test_equal_runs_write_equal_bytes_with_any_workers_and_anywhere(source: Path) -> None:
    build_shards(settings(source))
    elsewhere = source.parent / "moved"
    source.rename(elsewhere)
    build_shards(settings(elsewhere, "again", workers=2))
    first, again = source.parent / "out", source.parent / "again"
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    for name in [*PARTS, *(name for name in names if name.endswith(".tar"))]:
        assert (first / name).read_bytes() == (again / name).read_bytes(), name


def break_records(folder: Path) -> dict[str, str]:
    """Add bad recordings; return the reason of each."""
    flat, empty, gaps, holes = (noise(seed) for seed in range(4))
    flat[:] = 7
    empty[:] = MISSING
    gaps[:, 100:400] = MISSING
    holes[:, 100:150] = MISSING
    write_record(folder, "flat", flat)
    write_record(folder, "empty", empty)
    write_record(folder, "gaps", gaps)
    write_record(folder, "holes", holes)
    write_record(folder, "short", noise(4, samples=499))
    write_record(folder, "no_dat", noise(5))
    (folder / "no_dat.dat").unlink()
    write_record(folder, "cut", noise(6))
    (folder / "cut.dat").write_bytes((folder / "cut.dat").read_bytes()[:-2])
    write_record(folder, "absurd_rate", noise(7), rate=1e9)
    write_record(folder, "unknown_lead", noise(8, leads=1), first_lead="X")
    (folder / "garbage.hea").write_bytes(bytes(range(256)))
    return {
        "flat": "all_leads_flat",
        "empty": "all_leads_flat",
        "short": "too_short",
        "no_dat": "missing_signal_file",
        "cut": "truncated_signal_file",
        "absurd_rate": "implausible_sampling_rate",
        "unknown_lead": "no_standard_lead",
        "garbage": "unreadable_header",
    }


def test_bad_recordings_are_rejected_by_name_and_the_others_written(source: Path) -> None:
    bad = source.parent / "bad"
    expected = break_records(bad)
    build = settings(bad, split=SHARES, table=None)
    summary = build_shards(build)
    with (build.output / "rejects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["name"]: row["reason"] for row in rows} == expected
    assert all(row["name"] in row["message"] for row in rows)
    assert sum(summary["rejects"].values()) == len(expected)
    assert set(Corpus(build.output).keys) == {"holes", "gaps"}


def test_signals_that_are_no_standard_lead_are_counted(source: Path) -> None:
    for number, name in ((0, "VI"), (1, "VI"), (2, "vx")):
        write_record(source / "sub", f"r{number}", noise(number), first_lead=name)
    build = settings(source, workers=2)
    summary = build_shards(build)
    manifest = json.loads((build.output / MANIFEST).read_text())
    assert manifest["dropped_signals"] == summary["dropped_signals"] == {"VI": 2, "vx": 1}
    assert Corpus(build.output).sample(0).record.leads == LEADS[1:]


SHARES = {"train": 1.0, "val": 0.0, "test": 0.0}


def test_a_source_without_a_usable_recording_is_an_error_that_lists_the_rejects(
    source: Path,
) -> None:
    bad = source.parent / "bad"
    expected = break_records(bad)
    missing = {"missing_samples": {"policy": "reject"}}
    build = settings(bad, split=SHARES, table=None, quality=missing)
    for _ in range(2):  # what the first attempt leaves is no obstacle to the second
        with pytest.raises(
            InputError, match=r"no usable recording.*'missing_samples': 2"
        ) as caught:
            build_shards(build)
        assert "rejects.csv" in str(caught.value)
        assert len((build.output / "rejects.csv").read_text().splitlines()) == len(expected) + 3
        assert not (build.output / MANIFEST).exists()


def test_finished_shards_are_never_overwritten(source: Path) -> None:
    build = settings(source)
    build_shards(build)
    before = {path.name: path.read_bytes() for path in build.output.iterdir()}
    assert build_shards(build)["records"] == 7  # the same again: there is nothing to do
    with pytest.raises(InputError, match="finished shards of another"):
        build_shards(settings(source, shard_records=3))
    assert {path.name: path.read_bytes() for path in build.output.iterdir()} == before


def test_an_output_folder_with_other_files_is_left_alone(source: Path) -> None:
    build = settings(source, "source")
    before = sorted(source.rglob("*"))
    with pytest.raises(InputError, match="other files"):
        build_shards(build)
    assert sorted(source.rglob("*")) == before


def test_an_error_leaves_no_shard(source: Path) -> None:
    sample = process_entry(Entry("k", "sub/r0", "p", 1, {}), "train", settings(source))
    assert isinstance(sample, EncodedSample)
    output = source.parent / "out"
    with pytest.raises(ZeroDivisionError), ShardWriter(output / "train-000000.tar") as writer:
        writer.add(sample)
        assert [path.name for path in output.iterdir()] == ["train-000000.tar.partial"]
        _ = 1 // 0
    assert not list(output.iterdir())

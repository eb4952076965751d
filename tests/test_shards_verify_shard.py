"""One shard: metadata that nothing vouches for, and real recordings."""

import io
import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamae.storage.corpus import INDEX
from lamae.storage.samples import decode_metadata, encode_metadata
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from shards.verify.corpus import verify_shards
from shards.verify.shard import ExpectedShard, check_shard


def read_members(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as file:
        opened = [(member.name, file.extractfile(member)) for member in file]
        return {name: data.read() for name, data in opened if data is not None}


def write_members(tar: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


# What nothing else states cannot be contradicted without the index.
STATED_ONCE = {"about", "comments", "flags", "fold", "labels", "notes", "origin", "source"}
STATED_ONCE |= {"name", "patient_id", "source_sha256", "gain", "baseline"}


@pytest.mark.parametrize("value", [None, -1, 10**15, 1e999, "x", "", [], ["x"], {"x": 1}, {}])
def test_metadata_of_any_kind_is_no_crash_and_a_lie_is_found(
    simulated_shards: Path, tmp_path: Path, value: object
) -> None:
    signal, about = list(read_members(min(simulated_shards.glob("*.tar"))).items())[:2]
    fields = decode_metadata(about[1])
    for name in set(fields) - {"split"}:
        if fields[name] == value:
            continue
        changed = encode_metadata({**fields, name: value})
        write_members(tmp_path / "a.tar", dict([signal, (about[0], changed)]))
        found = check_shard(ExpectedShard("a.tar"), tmp_path)
        if name not in STATED_ONCE:
            assert found.problems, name
            assert found.intact == 0, name


def test_samples_of_another_split_are_found(simulated_shards: Path) -> None:
    tar = min(simulated_shards.glob("train*.tar"))
    expected = ExpectedShard(tar.name, split="val", row_groups=(0,))
    found = check_shard(expected, simulated_shards)
    (problem,) = found.problems
    assert problem.what == "not of split val, as the manifest says"
    assert len(problem.keys) == found.samples
    assert found.intact == 0


def test_of_the_index_each_shard_reads_the_row_groups_that_have_its_rows(
    simulated_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else verifying reads the whole index once for each shard, and 800,035 recordings have 784."""
    folder = tmp_path / "shards"
    shutil.copytree(simulated_shards, folder)
    (folder / "manifest.json").unlink()
    table = pq.read_table(folder / INDEX)
    pq.write_table(table, folder / INDEX, row_group_size=10)
    read: list[int] = []
    read_row_groups = pq.ParquetFile.read_row_groups

    def counted(file: pq.ParquetFile, groups: list[int]) -> pa.Table:
        read.extend(groups)
        return read_row_groups(file, groups)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counted)
    found = verify_shards(folder)
    assert found.intact == len(table) == 96
    names = table["shard"].to_pylist()
    groups = [set(names[start : start + 10]) for start in range(0, len(names), 10)]
    assert sorted(read) == sorted(n for n, shards in enumerate(groups) for _ in shards)
    assert len(read) < len(groups) * len(set(names))


def test_recordings_of_five_hospitals_are_intact(shared_data: Path, tmp_path: Path) -> None:
    values = {"source": shared_data / "challenge2021", "output": tmp_path / "shards", "workers": 1}
    summary = build_shards(ShardsSettings.model_validate(values))
    found = verify_shards(tmp_path / "shards")
    assert found.problems == ()
    assert found.promised == found.intact == summary["records"] > 90

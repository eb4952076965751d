"""Verification: what it promises to find, and whom it names, held against Python's own tarfile."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamae.errors import InputError
from lamae.storage.corpus import INDEX, MANIFEST, describe_index, write_index
from shards.build.report import MANIFEST_SHA256, checksum_line
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from shards.simulator.data_set import simulate
from shards.simulator.settings import SimulateSettings
from shards.verify.corpus import Verification, verify_shards

RECORDS = 14
CODECS = ("ecg", "npy")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the same 14 recordings with each codec, three in a shard."""
    folder = tmp_path_factory.mktemp("verify")
    recordings = {"records": RECORDS, "duration_s": 5, "sampling_rate": 100}
    simulate(SimulateSettings.model_validate({"output": folder / "raw", **recordings}))
    for codec in CODECS:
        values = {"source": folder / "raw", "output": folder / codec, "codec": codec, "workers": 1}
        split = {"train": 0.5, "val": 0.5, "test": 0.0}
        build = {"source_kind": "mimic_iv_ecg", "shard_records": 3, "split": split}
        build_shards(ShardsSettings.model_validate(values | build))
    return {codec: folder / codec for codec in CODECS}


@pytest.fixture
def folder(corpora: dict[str, Path], tmp_path: Path) -> Path:
    """Return a copy that a test may damage."""
    return shutil.copytree(corpora["ecg"], tmp_path / "shards")


def extents(tar: Path) -> list[tuple[str, int, int]]:
    """Return key, first and last byte + 1 of each member, headers and padding included."""
    with tarfile.open(tar) as file:
        members = [(m.name.partition(".")[0], m.offset, m.offset_data + m.size) for m in file]
    return [(key, start, -(-end // 512) * 512) for key, start, end in members]


def named(found: Verification) -> set[str]:
    return {key for problem in found.problems for key in problem.keys}


def what(found: Verification) -> str:
    return "\n".join(f"{problem.file}: {problem.what}" for problem in found.problems)


def rewrite(folder: Path, change: Callable[[list[dict[str, Any]], dict[str, Any]], None]) -> None:
    """Change rows of the index and the manifest as a faulty writer would: with true checksums."""
    rows = pq.read_table(folder / INDEX).to_pylist()
    manifest = json.loads((folder / MANIFEST).read_text())
    change(rows, manifest)
    write_index(folder / INDEX, rows)
    manifest["index"] = describe_index(folder)
    content = json.dumps(manifest).encode()
    (folder / MANIFEST).write_bytes(content)
    (folder / MANIFEST_SHA256).write_bytes(checksum_line(content))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_written_is_intact(corpora: dict[str, Path], codec: str, workers: int) -> None:
    found = verify_shards(corpora[codec], workers=workers)
    tars = list(corpora[codec].glob("*.tar"))
    assert len(tars) > 4
    assert found.problems == ()
    assert found.promised == found.intact == RECORDS
    assert found.bytes == sum(tar.stat().st_size for tar in tars)
    assert found.megabytes_per_second > 0


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_any_flipped_bit_is_found_and_names_its_recording(
    corpora: dict[str, Path], codec: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(corpora[codec], tmp_path / "flipped")
    files = [*sorted(folder.glob("*.tar")), *(folder / f for f in (INDEX, MANIFEST))]
    files.append(folder / MANIFEST_SHA256)

    @settings(max_examples=150)
    @given(
        file=st.sampled_from(files), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7)
    )
    def flip(file: Path, place: float, bit: int) -> None:
        content = file.read_bytes()
        at = int(place * len(content))
        owners = extents(file) if file.suffix == ".tar" else []
        owner = {key for key, start, end in owners if start <= at < end}
        file.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        found = verify_shards(folder)
        file.write_bytes(content)
        assert found.problems
        assert named(found) == owner
        assert found.intact == RECORDS - len(owner)

    flip()


@settings(max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_tar_names_exactly_what_is_lost(
    corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    folder = shutil.copytree(corpora["ecg"], tmp_path_factory.mktemp("cut") / "shards")
    tar = max(folder.glob("*.tar"), key=lambda path: path.stat().st_size)
    size = int(share * tar.stat().st_size)
    with tarfile.open(tar) as whole:
        lost = {m.name.partition(".")[0] for m in whole if m.offset_data + m.size > size}
    with tar.open("r+b") as file:
        file.truncate(size)
    found = verify_shards(folder)
    assert f"{tar.name}: {size} bytes, where the manifest says" in what(found)
    assert named(found) == lost
    assert found.intact == RECORDS - len(lost)


def test_a_missing_shard_loses_all_of_its_recordings(folder: Path) -> None:
    tar = min(folder.glob("*.tar"))
    lost = {key for key, _, _ in extents(tar)}
    tar.unlink()
    tar.mkdir()  # nor is a folder of that name a shard
    found = verify_shards(folder)
    assert named(found) == lost
    assert found.intact == RECORDS - len(lost)


@pytest.mark.parametrize("name", [MANIFEST, INDEX, MANIFEST_SHA256])
def test_the_recordings_are_checked_without_manifest_or_index(folder: Path, name: str) -> None:
    (folder / name).unlink()
    found = verify_shards(folder)
    assert [problem.file for problem in found.problems] == [name]
    assert found.promised == found.intact == RECORDS


def test_a_flipped_bit_is_found_in_tars_that_have_no_index(folder: Path) -> None:
    (folder / INDEX).unlink()
    tar = min(folder.glob("*.tar"))
    key, start, end = extents(tar)[0]
    content = bytearray(tar.read_bytes())
    content[(start + 512 + end) // 2] ^= 4
    tar.write_bytes(content)
    found = verify_shards(folder)
    assert named(found) == {key}
    assert found.intact == RECORDS - 1


def test_a_shard_under_the_name_of_another_is_found(folder: Path) -> None:
    first, second, *_ = sorted(folder.glob("*.tar"))
    lost = {key for key, _, _ in extents(second)}
    shutil.copy(first, second)
    found = verify_shards(folder)
    assert f"{second.name}: has the same content as {first.name}" in what(found)
    assert lost <= named(found)
    assert found.intact == RECORDS - len(lost)


def test_a_shard_that_the_manifest_does_not_list_is_found(folder: Path) -> None:
    shutil.copy(min(folder.glob("*.tar")), folder / "train-000099.tar")
    found = verify_shards(folder)
    assert "train-000099.tar: is not listed in the manifest" in what(found)
    assert "train-000099.tar: has the same content as" in what(found)
    assert found.intact == RECORDS


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/passwd", "a.b.json", "folder/", "new.txt"]
)
def test_members_that_belong_to_no_sample_are_found_and_never_extracted(
    folder: Path, name: str
) -> None:
    before = sorted(path.name for path in folder.parent.rglob("*"))
    with tarfile.open(min(folder.glob("*.tar")), "a", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(name))
    found = verify_shards(folder)
    assert f"member {name!r} belongs to no sample" in what(found)
    assert sorted(path.name for path in folder.parent.rglob("*")) == before
    assert found.intact == RECORDS


def test_a_sample_twice_in_a_tar_is_found(folder: Path) -> None:
    tar = min(folder.glob("*.tar"))
    (key, start, _), (_, _, end), *_ = extents(tar)
    content, last = tar.read_bytes(), extents(tar)[-1][2]
    tar.write_bytes(content[:last] + content[start:end] + content[last:])
    found = verify_shards(folder)
    assert "twice in the tar" in what(found)
    assert named(found) == {key}


def test_samples_that_the_index_lacks_are_found(folder: Path) -> None:
    removed: list[str] = []
    rewrite(folder, lambda rows, _: removed.append(rows.pop()["key"]))
    found = verify_shards(folder)
    assert "not in the index" in what(found)
    assert named(found) == set(removed)
    assert found.promised == found.intact == RECORDS - 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("offset", 2**40, "the index points behind the end of the tar"),
        ("offset", -512, "the index points behind the end of the tar"),
        ("offset", 512 * 3, "the index points elsewhere"),
        ("comments", ["another"], "metadata in the tar is not the index's"),
        ("content", "0" * 32, "the signal has another content than stated"),
        ("crc32", 1, "the CRC-32 of the signal is not the index's"),
    ],
)
def test_a_row_that_contradicts_its_sample_is_found(
    folder: Path, field: str, value: Any, message: str
) -> None:
    key = pq.read_table(folder / INDEX)["key"][0].as_py()
    rewrite(folder, lambda rows, _: rows[0].update({field: value}))
    found = verify_shards(folder)
    assert message in what(found)
    assert named(found) == {key}
    assert found.intact == RECORDS - 1


def test_a_patient_in_two_splits_is_found(folder: Path) -> None:
    moved: list[str] = []

    def share(rows: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
        assert rows[-1]["split"] != rows[0]["split"]
        rows[-1]["patient_id"] = rows[0]["patient_id"]
        moved.append(rows[-1]["key"])

    rewrite(folder, share)
    found = verify_shards(folder)
    (problem,) = [p for p in found.problems if "is in two splits" in p.what]
    assert problem.keys == tuple(moved)


def test_doubled_keys_and_wrong_counts_are_found(folder: Path) -> None:
    def double(rows: list[dict[str, Any]], manifest: dict[str, Any]) -> None:
        rows.append(rows[0])
        manifest["flags"] = {"clipped": 3}

    rewrite(folder, double)
    found = verify_shards(folder)
    assert "more than one row with the same key" in what(found)
    assert "its counts by split are not those of the index" in what(found)
    assert "its counts by flag are not those of the index" in what(found)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff", b'{"shards": [{"file": "../a"}]}']
)
def test_a_manifest_that_is_none_is_a_problem_and_no_crash(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    (folder / MANIFEST_SHA256).write_bytes(checksum_line(content))
    found = verify_shards(folder)
    assert f"{MANIFEST}: is not a manifest" in what(found)
    assert found.promised == found.intact == RECORDS


def test_an_index_of_other_columns_is_a_problem_and_no_crash(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    pq.write_table(pq.read_table(folder / INDEX).drop(["content"]), folder / INDEX)
    found = verify_shards(folder)
    assert f"{INDEX}: has other columns" in what(found)
    assert found.intact == RECORDS


def test_damaged_rejects_are_found(folder: Path) -> None:
    (folder / "rejects.csv").write_text("Name,reason,message\n")
    assert "rejects.csv: its SHA-256 is not the manifest's" in what(verify_shards(folder))
    (folder / "rejects.csv").write_text("name,reason,message\na,b,c\n")
    assert "rejects.csv: rejects {'b': 1}, where the manifest says {}" in what(
        verify_shards(folder)
    )


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither manifest\.json nor index\.parquet"):
        verify_shards(tmp_path)
    with pytest.raises(InputError, match=r"neither manifest\.json nor index\.parquet"):
        verify_shards(tmp_path / "absent")

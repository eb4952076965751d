import json
import os
import shutil
from pathlib import Path

import pytest

from lamae.runs.tracking import SUMMARY
from shards.verify.corpus import Verification, verify_shards
from shards.verify.shard import Problem
from shards.verify.side_files import check_summary


@pytest.fixture
def folder(simulated_shards: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may damage."""
    return shutil.copytree(simulated_shards, tmp_path / "shards")


def what(found: Verification) -> str:
    return "\n".join(f"{problem.file}: {problem.what}" for problem in found.problems)


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_damaged_summary_is_found(folder: Path, place: int) -> None:
    path = folder / SUMMARY
    content = bytearray(path.read_bytes())
    at = next(
        i for i in range(place * len(content) // 100, len(content)) if chr(content[i]).isalnum()
    )
    content[at] ^= 1
    path.write_bytes(content)
    assert f"{SUMMARY}: " in what(verify_shards(folder))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"splits": {}}'])
def test_a_summary_that_is_none_is_a_problem_and_no_crash(folder: Path, content: bytes) -> None:
    (folder / SUMMARY).write_bytes(content)
    assert f"{SUMMARY}: " in what(verify_shards(folder))


def test_a_summary_of_before_has_no_checksum_and_is_intact(folder: Path) -> None:
    summary = json.loads((folder / SUMMARY).read_text())
    del summary["sha256"]
    (folder / SUMMARY).write_text(json.dumps(summary))
    problems: list[Problem] = []
    check_summary(folder, summary["splits"], problems.append, has_checksum=False)
    assert problems == []
    check_summary(folder, {}, problems.append, has_checksum=False)
    assert [problem.file for problem in problems] == [SUMMARY]


@pytest.mark.parametrize("name", ["manifest.json", "rejects.csv", SUMMARY, "x.tar"])
def test_pipes_and_devices_are_named_and_never_read(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    if name == "x.tar":
        (folder / name).symlink_to("/dev/zero")
    else:
        os.mkfifo(folder / name)
    assert what(verify_shards(folder)) == f"{name}: is a pipe or a device, and nothing was read"

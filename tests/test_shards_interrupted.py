"""A build that is killed, divided, or finds the disk full ends in the very same shards."""

import errno
import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from lamae.errors import InputError
from shards.build.blocks import exclusive_lock
from shards.build.merge import merge_blocks
from shards.build.plan import locked
from shards.build.run import build_part, build_shards
from shards.entries import BUILDING
from shards.settings import ShardsSettings
from tests.conftest import small_build


def settings(source: Path, output: Path, **changes: Any) -> ShardsSettings:
    return ShardsSettings.model_validate(small_build(source, output, **changes))


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file but the summary, which has times."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "summary.json"
    }


@pytest.fixture(scope="module")
def whole(recordings: Path) -> dict[str, str]:
    """Build without an interruption."""
    output = recordings.parent / "whole"
    summary = build_shards(settings(recordings, output))
    assert summary["rejects"] == {"duplicate": 1, "unreadable_header": 1}
    assert len(list(output.glob("*.tar"))) > 3
    return contents(output)


KILLED_BEFORE_EVERY_CHANGE_OF_THE_DISK = """
import json, os, shutil, signal, sys
from pathlib import Path
import pandas  # pyarrow would import it in every child
from shards.build.run import build_shards
from shards.settings import ShardsSettings

def forked(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def killed_at(number):
    calls = 0
    def counted(call):
        def instead(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)
        return instead
    for name in ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))
    build_shards(build)

build = ShardsSettings.model_validate(json.loads(sys.argv[1]))
number, step = 1, int(sys.argv[2])
while forked(lambda: killed_at(number)) == -signal.SIGKILL:
    if forked(lambda: build_shards(build)) != 0:
        sys.exit(f"killed before change {number}, the build does not go on")
    build.output.rename(build.output.with_name(f"killed-{number}"))
    number += step
print(number)
"""


@pytest.mark.slow
def test_killed_before_any_change_of_the_disk_it_goes_on_to_the_same_bytes(
    recordings: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    values = settings(recordings, tmp_path / "out").model_dump_json()
    script = [sys.executable, "-c", KILLED_BEFORE_EVERY_CHANGE_OF_THE_DISK, values, "3"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    killed = list(tmp_path.glob("killed-*"))
    assert len(killed) >= 20
    for folder in killed:
        assert contents(folder) == whole, folder.name


@pytest.mark.parametrize("parts", [2, 5])
def test_parts_in_any_order_merge_to_the_same_bytes(
    recordings: Path, whole: dict[str, str], tmp_path: Path, parts: int
) -> None:
    output = tmp_path / "out"
    built = [
        build_part(settings(recordings, output, part=part, parts=parts))
        for part in reversed(range(parts))
    ]
    assert sum(part.blocks for part in built) == sum(name.endswith(".tar") for name in whole)
    assert [part.missing > 0 for part in built] == [True] * (parts - 1) + [False]
    merge_blocks(output)
    assert contents(output) == whole


def test_a_part_that_failed_is_missed_by_name_and_can_be_run_again(
    recordings: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    build_part(settings(recordings, output, part=0, parts=2))
    with pytest.raises(InputError, match=r"shards missing: train-000001"):
        merge_blocks(output)
    build_part(settings(recordings, output, part=1, parts=2))
    merge_blocks(output)
    assert contents(output) == whole
    assert build_part(settings(recordings, output, part=1, parts=2)).missing == 0


def test_an_unfinished_build_of_something_else_is_left_alone(
    recordings: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    build_part(settings(recordings, output, part=0, parts=2))
    before = contents(output)
    with pytest.raises(InputError, match="unfinished build with other settings, blocks"):
        build_part(settings(recordings, output, part=1, parts=2, shard_records=5))
    assert contents(output) == before


def test_a_part_is_built_by_one_process_at_a_time(recordings: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    build_part(settings(recordings, output, part=0, parts=2))
    with locked(output / BUILDING, 0), pytest.raises(InputError, match="another process"):
        build_part(settings(recordings, output, part=0, parts=2))


def test_merging_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no unfinished build"):
        merge_blocks(tmp_path)


def test_a_full_disk_is_told_and_what_was_finished_is_kept(
    recordings: Path, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, written = settings(recordings, tmp_path / "out"), []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 14:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"No space left on device while writing.*Make room"):
        build_shards(build)
    assert not list(build.output.rglob("*.partial"))
    kept = list((build.output / BUILDING).glob("*.tar"))
    assert kept
    monkeypatch.undo()
    build_shards(build)
    assert contents(build.output) == whole


@pytest.mark.slow
def test_parts_that_start_at_once_merge_to_the_same_bytes(
    recordings: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    divisions = ((0, 2), (1, 2), (3, 4), (2, 3))  # some have shards in common
    run = [sys.executable, "-c", STARTED_AT_ONCE, str(recordings), str(tmp_path / "out")]
    runs = [subprocess.Popen([*run, *map(str, one)], stdin=subprocess.PIPE) for one in divisions]
    for each in runs:
        each.communicate(b"")
    assert [each.returncode for each in runs] == [0] * len(runs)
    merge_blocks(tmp_path / "out")
    assert contents(tmp_path / "out") == whole


STARTED_AT_ONCE = """
import sys
from pathlib import Path
from shards.build.run import build_part
from shards.settings import ShardsSettings

source, output, part, parts = sys.argv[1:]
build_part(ShardsSettings.model_validate({
    "source": source, "output": output, "source_kind": "mimic_iv_ecg", "shard_records": 7,
    "split": {"train": 0.7, "val": 0.3, "test": 0.0},
    "workers": 1, "part": int(part), "parts": int(parts),
}))
"""


def test_a_shard_that_another_process_builds_is_waited_for(
    recordings: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    one = settings(recordings, tmp_path / "out", part=0, parts=2)
    build_part(settings(recordings, tmp_path / "out", part=1, parts=2))
    with ThreadPoolExecutor() as pool, exclusive_lock(one.output / BUILDING, "train-000000"):
        waiting = pool.submit(build_part, one)
        assert not wait([waiting], timeout=1).done
        assert not (one.output / BUILDING / "train-000000.tar.partial").exists()
    assert waiting.result().missing == 0
    merge_blocks(one.output)
    assert contents(one.output) == whole


def test_a_full_disk_while_merging_is_told_and_the_merge_can_be_given_again(
    recordings: Path, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_part(settings(recordings, tmp_path, part=0, parts=2))
    build_part(settings(recordings, tmp_path, part=1, parts=2))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("shards.build.merge.merge_indexes", full)
        with pytest.raises(InputError, match=r"No space left .* Make room"):
            merge_blocks(tmp_path)
    merge_blocks(tmp_path)
    assert contents(tmp_path) == whole


def test_an_output_that_cannot_be_written_is_an_error_of_the_input(
    recordings: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"Not a directory .* below a folder"):
        build_shards(settings(recordings, tmp_path / "file" / "out"))

"""Locks of a build, with and without those of the file system."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from shards import locks
from shards.locks import HeldError, lock

ROOT = Path(__file__).resolve().parents[1]
HOLD = """
import errno, fcntl, os, sys, time
from pathlib import Path
from shards import locks

def absent(*_):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

kinds, path = sys.argv[1], Path(sys.argv[2])
locks.LEASE_S = 2.0
if "f" in kinds:
    fcntl.flock = absent
if "p" in kinds:
    fcntl.lockf = absent
with locks.lock(path, wait=True):
    print("held", flush=True)
    sys.stdin.read()
"""
"""Holds a lock until its input ends, without flock (f) and POSIX locks (p)."""


def absent(*_: Any) -> None:
    """Fail as a system call that a file system has not."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@pytest.fixture(params=["", "f", "fp"], ids=["flock", "posix", "neither"])
def kinds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take away some kinds of locks; return which."""
    monkeypatch.setattr(locks, "LEASE_S", 2.0)
    for kind, name in (("f", "flock"), ("p", "lockf")):
        if kind in request.param:
            monkeypatch.setattr(fcntl, name, absent)
    return str(request.param)


def holder(kinds: str, path: Path) -> "subprocess.Popen[str]":
    """Start a process that holds a lock; return once it does."""
    command = [sys.executable, "-c", HOLD, kinds, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == "held\n"
    return process


def test_what_another_process_holds_is_refused_or_waited_for(kinds: str, tmp_path: Path) -> None:
    path = tmp_path / "part.lock"
    with holder(kinds, path) as other, ThreadPoolExecutor() as pool:

        def take() -> float:
            with lock(path, wait=True):
                return time.monotonic()

        with pytest.raises(HeldError), lock(path, wait=False):
            pass
        waiting = pool.submit(take)
        assert not wait([waiting], timeout=0.5).done
        freed = time.monotonic()
        other.communicate("")
        assert waiting.result(timeout=30) > freed


def test_a_lock_is_free_once_its_owner_was_killed(kinds: str, tmp_path: Path) -> None:
    path = tmp_path / "part.lock"
    with holder(kinds, path) as other:
        other.kill()
        other.communicate()
    with lock(path, wait=False):
        assert path.exists()
    with lock(path, wait=False):
        assert [each.name for each in tmp_path.iterdir() if each.name != path.name] == (
            ["part.lock.owner"] if kinds == "fp" else []
        )


def test_an_error_other_than_no_locks_is_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output error"), lock(tmp_path / "lock", wait=True):
        pass

"""Locks between the processes of a build, on any file system.

`flock` where the file system has it; else the locks of POSIX, `fcntl`; else a file that names its
owner, who renews it every 20 seconds, and which others may take over once nobody has for a minute.
All processes of a build must see the file system in one way: on Lustre, mounted with or without the
option `flock` on every node.
"""

import errno
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import LeaseCompromise, SoftFileLease, Timeout

_log = logging.getLogger(__name__)
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)
"""Errors of a file system without locks of a kind."""
_HELD = (errno.EAGAIN, errno.EACCES)

LEASE_S = 60.0
"""Time after which a file that its owner has not renewed is free."""


class HeldError(Exception):
    """Another process holds the lock."""


@contextmanager
def lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock that a file stands for; where another process does, wait or raise HeldError.

    A process must not take a lock twice at a time. On a file system without locks, it takes
    `LEASE_S` to tell a process that was killed from one that works.
    """
    with path.open("a") as file:
        if _take(file, wait=wait):
            yield
            return
    with _lease(path, wait=wait):
        yield


def _take(file: IO[str], *, wait: bool) -> bool:
    """Take a lock of the file system; False where it has none."""
    for take in (fcntl.flock, fcntl.lockf):
        try:
            take(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in _HELD and not wait:
                raise HeldError from None
            if error.errno not in _NO_LOCKS:
                raise
    return False


@contextmanager
def _lease(path: Path, *, wait: bool) -> Iterator[None]:
    owner = path.with_name(f"{path.name}.owner")
    lease = SoftFileLease(
        owner,
        lease_duration=LEASE_S,
        timeout=-1 if wait else 1.5 * LEASE_S,
        poll_interval=min(1.0, LEASE_S / 10),
        on_compromise=_warn,
    )
    try:
        lease.acquire()
    except Timeout:
        raise HeldError from None
    try:
        yield
    finally:
        lease.release()


def _warn(lost: LeaseCompromise) -> None:
    _log.warning(
        "lock %s was lost (%s): this process was stopped for long, and another may work beside it",
        lost.lock_file,
        lost.reason,
    )

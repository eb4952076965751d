"""Memory that the processes of one machine share, for what each would else hold by itself.

It is a file in /dev/shm without a name: every process opens it while it is empty, then its name is
removed, and only then does it get its size. So nothing is left behind when a process is killed at
any moment but, in the worst case, an empty file.
"""

import errno
import math
import mmap
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lamae.errors import InputError

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ALIGNED = 64
"""Bytes: a line of the cache."""


class NodeMemory:
    """Shared memory of the processes of a run that are on this machine.

    Every process of the run, on this machine or another, must make the same calls.
    """

    def __init__(
        self,
        gather: Callable[[Any], list[Any]],
        raise_together: Callable[[Exception | None], None],
        *,
        folder: Path = Path("/dev/shm"),
    ) -> None:
        """Find the processes of this machine.

        Args:
            gather: returns what all processes of the run give, this one's as well.
            raise_together: raises on every process where one gives an error.
            folder: file system in memory; processes that have the same are on one machine.
        """
        self._gather, self._raise_together, self._folder = gather, raise_together, folder
        self._id = (_machine(folder), uuid.uuid4().hex)
        members = [other for other in gather(self._id) if other[0] == self._id[0]]
        self.processes = len(members)
        """Processes on this machine."""
        self.number = members.index(self._id)
        """Number of this process among them."""

    def arrays(self, *kinds: tuple[int | tuple[int, ...], DTypeLike]) -> list[np.ndarray]:
        """Return arrays of these shapes and types, zeros that all processes of the machine share.

        Raises InputError, on every process, where there is no room for them.
        """
        sizes = [int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in kinds]
        starts = np.cumsum([0, *(_ALIGNED * math.ceil(size / _ALIGNED) for size in sizes)])
        memory = self._map(max(int(starts[-1]), mmap.PAGESIZE))
        return [
            np.frombuffer(memory, dtype, int(np.prod(shape)), offset=start).reshape(shape)
            for (shape, dtype), start in zip(kinds, starts.tolist(), strict=False)
        ]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wait at the end until all processes are there; an error of one is raised on each."""
        error: Exception | None = None
        try:
            yield
        except (InputError, OSError) as raised:
            error = raised
        self._raise_together(error)

    def _map(self, size: int) -> mmap.mmap:
        descriptor, path = -1, ""  # of a process that is the only one here: memory without a file
        leads = self.number == 0 and self.processes > 1
        with ExitStack() as stack:
            with self.together():
                if leads:
                    descriptor, path = self._create()
                    stack.callback(os.close, descriptor)
                    stack.callback(Path(path).unlink, missing_ok=True)
            machine = self._id[0]
            named = [
                own for other, own in self._gather((machine, path)) if own and other == machine
            ]
            with self.together():
                if self.number > 0:
                    descriptor = os.open(named[0], os.O_RDWR | os.O_CLOEXEC)
                    stack.callback(os.close, descriptor)
            with self.together():
                if leads:
                    Path(path).unlink()
                    self._reserve(descriptor, size)
            return mmap.mmap(descriptor, size)

    def _create(self) -> tuple[int, str]:
        try:
            return tempfile.mkstemp(prefix="lamae-ram-", dir=self._folder)
        except OSError as error:
            raise InputError(
                f"shared memory {self._folder}",
                value=str(error),
                expected="a folder in memory in which files can be made",
                remedy="Set residency=stream, or mount a tmpfs there.",
            ) from None

    def _reserve(self, descriptor: int, size: int) -> None:
        """Give the file its size, all of it in memory: what is written later finds its place."""
        state = os.statvfs(self._folder)
        free = state.f_bavail * state.f_frsize
        try:
            if size <= free:
                os.posix_fallocate(descriptor, 0, size)
                return
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.ENOMEM):
                raise
        raise InputError(
            f"residency=ram in {self._folder}",
            value=f"{free / 1e9:.2f} GB free",
            expected=f"{size / 1e9:.2f} GB, once for this machine",
            remedy="Make it larger (mount -o remount,size=..., docker run --shm-size=...), or set "
            "residency=stream.",
        )


def _machine(folder: Path) -> str:
    """Return what two processes have in common that see the same files in `folder`."""
    boot = _BOOT.read_text().strip() if _BOOT.is_file() else os.uname().nodename
    return f"{boot}:{folder.stat().st_dev if folder.is_dir() else 'none'}"

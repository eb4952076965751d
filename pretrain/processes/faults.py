"""Faults of the disk on one process, which all processes act on together."""

from collections.abc import Iterator
from contextlib import contextmanager

from pretrain.processes.stopping import Reason

_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed")
"""Words of gloo and NCCL on a process that has ended."""


class Faults:
    """The first fault of this process in what it writes beside checkpoints.

    Raised at once, it would leave the other processes waiting. So the step goes on, the processes
    agree to stop as for any other reason, save, and then raise it.
    """

    def __init__(self) -> None:
        """Begin without a fault."""
        self.first: OSError | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note a fault of the disk instead of raising it."""
        try:
            yield
        except OSError as error:
            self.first = self.first or error

    @property
    def reason(self) -> Reason:
        """Reason to stop, NONE without a fault."""
        return Reason.FAULT if self.first else Reason.NONE


@contextmanager
def lost_processes_as_errors() -> Iterator[None]:
    """Raise ChildProcessError where another process has ended in the midst of an exchange."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in _LOST):
            raise
        raise ChildProcessError("another process of this run has ended; see its message") from None

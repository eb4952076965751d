"""Damaged samples: some are replaced while a run goes on, too many end it."""

from pathlib import Path

from lamae.batches.dataset import Batch
from lamae.errors import InputError

_ALWAYS_ALLOWED = 10
_KEYS_NAMED = 5


class DamageCount:
    """Counts damaged samples among those that a process reads, in the order of its steps.

    Threads read ahead of that order. What ends a run is counted when a step takes its batch, so
    that it is a function of the data, and of the step that the process began with.
    """

    def __init__(self, shards: Path | str, *, largest_share: float) -> None:
        """Allow a share of the samples read from `shards`; ten are always allowed."""
        self._shards, self._largest_share = shards, largest_share
        self._read = self._damaged = 0

    def add(self, batch: Batch) -> None:
        """Count a batch; raises InputError if too many samples were damaged by now."""
        self._read += len(batch.keys) + len(batch.damaged)
        self._damaged += len(batch.damaged)
        if self._damaged > max(_ALWAYS_ALLOWED, self._largest_share * self._read):
            raise InputError(
                f"shards {self._shards}",
                value=f"{self._damaged} of {self._read} samples read are damaged, the newest "
                f"{', '.join(batch.damaged[-_KEYS_NAMED:])}",
                expected=f"at most {_ALWAYS_ALLOWED} or {self._largest_share:.2%}",
                remedy="Find them by shards/main.py verify and copy or build the shards again, or "
                "raise max_damaged.",
            )

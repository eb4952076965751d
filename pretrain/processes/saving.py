"""Checkpoints that are written while training goes on: from a thread, at most one at a time."""

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from lamae.runs.run_folder import Attempt
from lamae.training.checkpoint_writing import Draft, write_checkpoint
from lamae.training.host_copy import HostCopy
from pretrain.processes.stopping import Agreement, Reason
from pretrain.retention import apply_retention
from pretrain.settings import Retention


class Saving:
    """Writes the checkpoints of a run; every process must call each method at the same point.

    A context that waits, at its end, for what is being written. An error of the thread is noted:
    the processes agree on it after a step, as on a reason to stop, and raise it together.
    """

    def __init__(
        self,
        run_dir: Path,
        retention: Retention,
        *,
        attempt: Attempt | None,
        agreement: Agreement,
        exchange: Agreement,
    ) -> None:
        """Write in run_dir; `exchange` has connections that the thread alone uses."""
        self._run_dir, self._retention = run_dir, retention
        self._attempt, self._agreement, self._exchange = attempt, agreement, exchange
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._written: Future[None] | None = None
        self.copies = HostCopy()
        """Memory for what is written; free once `wait` has returned."""

    def __enter__(self) -> "Saving":
        """Be ready to write."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the checkpoint that is being written, whatever has happened."""
        self._thread.shutdown(wait=True)

    @property
    def reason(self) -> Reason:
        """CHECKPOINT where the newest checkpoint could not be written, as far as is known."""
        failed = self._written and self._written.done() and self._written.exception()
        return Reason.CHECKPOINT if failed else Reason.NONE

    def begin(self, draft: Draft) -> None:
        """Begin to write a checkpoint; the one before must have been waited for."""
        self._written = self._thread.submit(self._write, draft)

    def wait(self) -> float:
        """Wait until no checkpoint is being written; return the seconds.

        Raises on every process where one could not write it.
        """
        started = time.monotonic()
        if self._written is not None:
            wait([self._written])
            self.raise_failure()
            self._written = None
        return time.monotonic() - started

    def raise_failure(self) -> None:
        """Raise, on every process, where a checkpoint could not be written."""
        error = None
        if self._written is not None and self._written.done():
            error = self._written.exception()
        assert error is None or isinstance(error, Exception), "the thread ends by no signal"
        self._agreement.raise_together(error)

    def _write(self, draft: Draft) -> None:
        attempt, error = self._attempt, None
        write_checkpoint(self._run_dir, draft, attempt=attempt, exchange=self._exchange)
        if attempt is not None:
            try:
                apply_retention(self._run_dir, self._retention, attempt)
            except OSError as found:
                error = found
        self._exchange.raise_together(error)

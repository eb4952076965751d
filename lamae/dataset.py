"""Shards to batches, in an order that is a function of the seed alone."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lamae.corpus import Corpus
from lamae.errors import InputError, RecordError
from lamae.preprocess import Prepared, Preprocessor

_log = logging.getLogger(__name__)
_REPLACEMENTS = 20

T = TypeVar("T")


class Batch(NamedTuple):
    """Recordings, ready for a model."""

    signal: Float[Tensor, "b l samples"]
    """Normalised by the preprocessor, in its lead order."""
    present: Bool[Tensor, "b l"] | None
    """False for a lead that a recording lacks; None where none lacks any."""
    keys: tuple[str, ...]
    """Keys of the samples."""


class Usable(NamedTuple):
    """What can be used of some recordings, and why the others cannot."""

    positions: list[int]
    """Positions of those that can, in the order asked for."""
    batch: Batch | None
    """Those recordings; None where there is none."""
    unusable: dict[str, str]
    """Reason by key of the others: a reason of the preprocessor, or "damaged"."""


class Split:
    """The prepared recordings of one split, by position."""

    def __init__(
        self,
        corpus: Corpus,
        rows: np.ndarray,
        preprocessor: Preprocessor,
        *,
        replace_unusable: bool = False,
    ) -> None:
        """Take the rows of a corpus, in the given order.

        With `replace_unusable`, a sample that is damaged or refused by the preprocessor is
        replaced by the next in a batch, and named in a warning; without it, it is an error.
        """
        self.corpus = corpus
        self.rows = rows
        self.preprocessor = preprocessor
        self._attempts = _REPLACEMENTS if replace_unusable else 1

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.rows)

    def prepared(self, position: int) -> tuple[str, Prepared]:
        """Return key and prepared signal; raises InputError for a damaged sample."""
        sample = self.corpus.sample(int(self.rows[position]))
        return sample.key, self.preprocessor(sample.record)

    def batch(self, positions: Sequence[int] | np.ndarray) -> Batch:
        """Prepare the recordings at the given positions; raises InputError for an unusable one."""
        return _collate([self._one_usable(int(p)) for p in positions])

    def usable(self, positions: Sequence[int] | np.ndarray) -> Usable:
        """Prepare those recordings at the given positions that can be used."""
        found: dict[int, tuple[str, Prepared]] = {}
        unusable = {}
        for position in map(int, positions):
            try:
                found[position] = self.prepared(position)
            except InputError as error:
                reason = error.reason if isinstance(error, RecordError) else "damaged"
                unusable[str(self.corpus.keys[self.rows[position]])] = reason
        batch = _collate(list(found.values())) if found else None
        return Usable(list(found), batch, unusable)

    def _one_usable(self, position: int) -> tuple[str, Prepared]:
        for attempt in range(self._attempts):
            row = int(self.rows[(position + attempt) % len(self)])
            try:
                record = self.corpus.record(row)
                return str(self.corpus.keys[row]), self.preprocessor(record)
            except InputError as error:
                if attempt == self._attempts - 1:
                    raise
                _log.warning("replaced by the next sample: %s", error)
        raise AssertionError("the last attempt returns or raises")


def _collate(samples: Sequence[tuple[str, Prepared]]) -> Batch:
    keys, prepared = zip(*samples, strict=True)
    signal = torch.from_numpy(np.stack([one.signal for one in prepared]))
    present = torch.from_numpy(np.stack([one.present for one in prepared]))
    return Batch(signal, None if present.all() else present, keys)


def shuffled_positions(start: int, stop: int, *, count: int, seed: int) -> np.ndarray:
    """Return positions start..stop of an endless walk through shuffled epochs of `count` samples.

    Epoch e is a permutation drawn from (seed, e), so any stretch can be had without the one before.
    """
    walk = np.arange(start, stop)
    epochs, places = walk // count, walk % count
    found = np.empty(len(walk), dtype=np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([seed, int(epoch)]).permutation(count)
        found[epochs == epoch] = order[places[epochs == epoch]]
    return found


def prefetch(make: Callable[[int], T], *, start: int, stop: int, depth: int = 4) -> Iterator[T]:
    """Yield make(start), ..., make(stop - 1), made ahead by a thread.

    An error in `make` is raised here; closing the iterator ends the thread.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    closed = threading.Event()

    def put(item: tuple[T | None, BaseException | None]) -> None:
        while not closed.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for number in range(start, stop):
                if closed.is_set():
                    return
                put((make(number), None))
        except BaseException as error:  # handed to the thread that iterates
            put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        for _ in range(start, stop):
            item, error = ready.get()
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        closed.set()

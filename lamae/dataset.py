"""Shards to batches, in an order that is a function of the seed alone."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
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
    samples: Int[Tensor, " b"] | None = None
    """Recorded samples of each, zeros stand behind them; None where none is shorter."""


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

    def recorded_samples(self, positions: np.ndarray) -> np.ndarray:
        """Return how many samples each recording has of those a model sees: int64 (positions,)."""
        return self.preprocessor.recorded_samples(*self.corpus.lengths(self.rows[positions]))

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
    recorded = torch.tensor([one.samples for one in prepared])
    is_whole = bool((recorded == signal.shape[-1]).all())
    return Batch(signal, None if present.all() else present, keys, None if is_whole else recorded)


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


def prefetch(make: Callable[[int], T], *, start: int, stop: int, workers: int = 1) -> Iterator[T]:
    """Yield make(start), ..., make(stop - 1), in order, made ahead by threads.

    Twice as many as there are threads, and two, are made or in the making. Without workers, each is
    made when it is asked for. An error in `make` is raised here in its turn; closing the iterator
    ends the threads once they have made what they are at.
    """
    numbers = iter(range(start, stop))
    if not workers:
        yield from map(make, numbers)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    try:
        ahead = deque(pool.submit(make, number) for number in islice(numbers, 2 * workers + 2))
        while ahead:
            item = ahead.popleft().result()
            ahead.extend(pool.submit(make, number) for number in islice(numbers, 1))
            yield item
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

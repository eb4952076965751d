"""Recordings of a split by position, as batches, which threads prepare ahead."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lamae.ecg.leads import select_leads
from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.errors import InputError, RecordError
from lamae.storage.corpus import Corpus

_log = logging.getLogger(__name__)
_REPLACEMENTS = 20

T = TypeVar("T")
Positions = Sequence[int] | np.ndarray
KeyedWindow = tuple[str, Prepared]
"""Key and prepared window of a recording."""


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
    damaged: tuple[str, ...] = ()
    """Keys of the damaged samples for which others stand in."""


class Usable(NamedTuple):
    """Usable ones of some recordings, and the reason against each other one."""

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

    @property
    def place(self) -> str:
        """Place of the shards, for messages."""
        return str(self.corpus.location)

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.rows)

    def lengths(self, positions: np.ndarray) -> np.ndarray:
        """Return samples of whole recordings at the preprocessor's rate: int64 (positions,)."""
        return self.preprocessor.lengths(*self.corpus.lengths(self.rows[positions]))

    def present(self, positions: np.ndarray) -> np.ndarray:
        """Return bool (positions, leads): the recording has the lead, or those that give it.

        Missing samples, for which a lead may count as absent after all, are not looked at.
        """
        sets, names = self.corpus.lead_sets(self.rows[positions])
        of_set = [select_leads(self.preprocessor.leads, np.eye(len(n)), n)[1] for n in names]
        return np.stack(of_set)[sets]

    def prepared(self, position: int, start: int = 0) -> tuple[str, Prepared]:
        """Return key and prepared window; raises InputError for a sample that cannot be used."""
        row = int(self.rows[position])
        return str(self.corpus.keys[row]), self.preprocessor(self.corpus.record(row), start)

    def batch(self, positions: Positions, starts: np.ndarray | None = None) -> Batch:
        """Prepare recordings by position; raises InputError for one that cannot be used.

        `starts` says where the window of each begins, in samples at the preprocessor's rate, as
        `Preprocessor` takes it; without, all begin at 0. A position may come more than once.
        """
        samples, damaged = self.samples(positions, starts)
        return collate(samples, damaged)

    def samples(
        self, positions: Positions, starts: np.ndarray | None = None
    ) -> tuple[list[KeyedWindow], list[str]]:
        """Prepare recordings as `batch`, one by one; return them, and the keys of damaged ones."""
        damaged: list[str] = []
        samples = [self._one_usable(*each, damaged) for each in _windows(positions, starts)]
        return samples, damaged

    def usable(self, positions: Positions, starts: np.ndarray | None = None) -> Usable:
        """Prepare those recordings that can be used; the arguments are those of `batch`."""
        used, samples, unusable = [], [], dict[str, str]()
        for position, start in _windows(positions, starts):
            try:
                samples.append(self.prepared(position, start))
                used.append(position)
            except InputError as error:
                reason = error.reason if isinstance(error, RecordError) else "damaged"
                unusable[str(self.corpus.keys[self.rows[position]])] = reason
        return Usable(used, collate(samples) if samples else None, unusable)

    def _one_usable(self, position: int, start: int, damaged: list[str]) -> tuple[str, Prepared]:
        for attempt in range(self._attempts):
            candidate = (position + attempt) % len(self)
            try:
                return self.prepared(candidate, start)
            except InputError as error:
                if attempt == self._attempts - 1:
                    raise
                if not isinstance(error, RecordError):
                    damaged.append(str(self.corpus.keys[self.rows[candidate]]))
                _log.warning("replaced by the next sample: %s", error)
        raise AssertionError("the last attempt returns or raises")


def _windows(positions: Positions, starts: np.ndarray | None) -> Iterator[tuple[int, int]]:
    begins = repeat(0, len(positions)) if starts is None else map(int, starts)
    return zip(map(int, positions), begins, strict=True)


def collate(samples: Sequence[KeyedWindow], damaged: Sequence[str] = ()) -> Batch:
    """Make a batch of prepared recordings, and of the keys of damaged ones that they replace."""
    keys, prepared = zip(*samples, strict=True)
    signal = torch.from_numpy(np.stack([one.signal for one in prepared]))
    present = torch.from_numpy(np.stack([one.present for one in prepared]))
    recorded = torch.tensor([one.samples for one in prepared])
    is_whole = bool((recorded == signal.shape[-1]).all())
    return Batch(
        signal=signal,
        present=None if present.all() else present,
        keys=keys,
        samples=None if is_whole else recorded,
        damaged=tuple(damaged),
    )


def prefetch(
    make: Callable[[int], T], *, start: int, stop: int, workers: int = 1
) -> Generator[T, None, None]:
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

"""Orders of training: endless walks through shuffled epochs, each a function of the seed.

Any stretch of a walk is computed without the one before, so that a run goes on at any step, with
any number of processes. `GlobalOrder` shuffles all recordings, and needs every shard at hand.
`BlockOrder` shuffles the shards and slides a window over them, within which recordings are mixed:

    shards of an epoch   s0 s1 s2 s3 s4 s5      each deals its recordings over `window` stretches
    stretch 0            [s0 s1 s2]             of a window of three
    stretch 1               [s1 s2 s3]          one shard leaves, one comes
    stretch 2                  [s2 s3 s4]
    stretch 3                     [s3 s4 s5]    the last of the epoch
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal, NamedTuple

import numpy as np

OrderKind = Literal["global", "blocks"]

_SHARDS, _WITHIN, _STRETCH = 1, 2, 3
"""Purposes of draws, which keep those of one epoch apart from each other."""
_NOTHING = np.empty(0, dtype=np.int64)


class GlobalOrder:
    """Epochs that are permutations of all recordings."""

    def __init__(self, shards: np.ndarray, *, seed: int, stream: int = 0) -> None:
        """Order recordings of which `shards` (recordings,) has the shard's code of each.

        Walks of other `stream` numbers are apart from each other; those of 0 are what
        `shuffled_positions` returns.
        """
        self._shards = shards
        self._seed, self._stream = seed, stream
        self._epoch = lru_cache(maxsize=2)(self._draw)

    def positions(self, start: int, stop: int) -> np.ndarray:
        """Return the recordings at the places start..stop of the walk."""
        return _walk(self._epoch, start, stop, count=len(self._shards))

    def stretch(self, place: int) -> int:
        """Return 0, as for every place: the same shards are due everywhere."""
        return 0

    def shards_ahead(self, place: int) -> np.ndarray:
        """Return all shards, in the order of their first use in the rest of the epoch."""
        epoch, first = divmod(place, len(self._shards))
        codes = self._shards[np.roll(self._epoch(epoch), -first)]
        firsts = np.full(int(codes.max()) + 1, -1)
        firsts[codes[::-1]] = np.arange(len(codes))[::-1]  # of one code the last is kept
        found = np.flatnonzero(firsts >= 0)
        return found[np.argsort(firsts[found])]

    def _draw(self, epoch: int) -> np.ndarray:
        if self._stream:
            return _permutation(len(self._shards), self._seed, epoch, self._stream, _WITHIN)
        return _permutation(len(self._shards), self._seed, epoch)


class _Epoch(NamedTuple):
    """Shards of an epoch, and where its stretches end."""

    shards: np.ndarray
    """Places in the list of shards, shuffled: (shards,)."""
    ends: np.ndarray
    """Place in the epoch behind each stretch: (stretches,)."""


class BlockOrder:
    """Epochs in which a window slides over shuffled shards, and recordings are mixed within it.

    A shard deals its recordings, shuffled, over the stretches during which it is in the window; of
    the first and the last shards of an epoch the shares are larger. So each stretch draws on
    `window` shards, and an epoch visits every recording once.
    """

    def __init__(self, shards: np.ndarray, *, seed: int, window: int, stream: int = 0) -> None:
        """Order recordings of which `shards` (recordings,) has the shard's code of each.

        A window of all shards, or more, makes every epoch one stretch: all recordings are mixed.
        """
        self._by_shard = np.argsort(shards, kind="stable")
        self._codes, sizes = np.unique(shards, return_counts=True)
        self._firsts = np.cumsum(sizes) - sizes
        self._window = min(window, len(sizes))
        self._cuts = sizes[:, None] * np.arange(self._window + 1) // self._window
        self._stretches = len(sizes) - self._window + 1
        self._numbers = (seed, stream)
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)
        self._content = lru_cache(maxsize=4)(self._draw_stretch)

    def positions(self, start: int, stop: int) -> np.ndarray:
        """Return the recordings at the places start..stop of the walk."""
        parts = _by_epoch(start, stop, count=len(self._by_shard))
        return np.concatenate([_NOTHING, *(self._within(*part) for part in parts)])

    def stretch(self, place: int) -> int:
        """Return the number of the stretch around a place; another shard is due in each."""
        epoch, within = divmod(place, len(self._by_shard))
        ends = self._epoch(epoch).ends
        return epoch * self._stretches + int(np.searchsorted(ends, within, side="right"))

    def shards_ahead(self, place: int) -> np.ndarray:
        """Return the shards of the window around a place, and as many that come after them."""
        epoch, first = divmod(self.stretch(place), self._stretches)
        due = np.concatenate([self._epoch(epoch).shards[first:], self._epoch(epoch + 1).shards])
        return self._codes[list(dict.fromkeys(due[: 2 * self._window].tolist()))]

    def _within(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """Return the recordings at the places start..stop of an epoch."""
        ends = self._epoch(epoch).ends
        first, last = np.searchsorted(ends, (start, stop - 1), side="right").tolist()
        begin = int(ends[first - 1]) if first else 0
        content = [self._content(epoch, stretch) for stretch in range(first, last + 1)]
        return np.concatenate(content)[start - begin : stop - begin]

    def _draw_epoch(self, epoch: int) -> _Epoch:
        seed, stream = self._numbers
        shards = _permutation(len(self._codes), seed, epoch, stream, _SHARDS)
        shares = np.zeros(self._stretches, dtype=np.int64)
        np.add.at(shares, self._stretch_of_parts(), np.diff(self._cuts[shards]))
        return _Epoch(shards, np.cumsum(shares))

    def _stretch_of_parts(self) -> np.ndarray:
        """Return to which stretch each part of each shard of an epoch goes: (shards, window)."""
        places, parts = np.ogrid[: len(self._codes), : self._window]
        return np.clip(places + parts - (self._window - 1), 0, self._stretches - 1)

    def _draw_stretch(self, epoch: int, stretch: int) -> np.ndarray:
        """Return the recordings of a stretch: a share of each shard in the window, mixed."""
        seed, stream = self._numbers
        found = []
        for place in range(stretch, stretch + self._window):
            shard = self._epoch(epoch).shards[place]
            low = 0 if stretch == 0 else stretch - place + self._window - 1
            is_last = stretch == self._stretches - 1
            high = self._window if is_last else stretch - place + self._window
            first, end = self._cuts[shard, low], self._cuts[shard, high]
            within = _permutation(
                int(self._cuts[shard, -1]), seed, epoch, stream, _WITHIN, int(shard)
            )
            found.append(self._by_shard[self._firsts[shard] + within[first:end]])
        content = np.concatenate(found)
        mixed = content[_permutation(len(content), seed, epoch, stream, _STRETCH, stretch)]
        mixed.setflags(write=False)
        return mixed


Order = GlobalOrder | BlockOrder
"""An endless walk through shuffled epochs of some recordings."""


def make_order(
    kind: OrderKind, shards: np.ndarray, *, seed: int, window: int, stream: int = 0
) -> Order:
    """Return the order of a kind; `window` is the number of shards between which blocks mix."""
    if kind == "global":
        return GlobalOrder(shards, seed=seed, stream=stream)
    return BlockOrder(shards, seed=seed, window=window, stream=stream)


def shuffled_positions(start: int, stop: int, *, count: int, seed: int) -> np.ndarray:
    """Return positions start..stop of an endless walk through shuffled epochs of `count` samples.

    Epoch e is a permutation drawn from (seed, e), so any stretch can be had without the one before.
    """
    return _walk(partial(_epoch_order, count, seed), start, stop, count=count)


@lru_cache(maxsize=2)  # of ten million samples, drawing takes as long as many a step
def _epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    return _permutation(count, seed, epoch)


def _permutation(count: int, *numbers: int) -> np.ndarray:
    order = np.random.default_rng(numbers).permutation(count)
    order.setflags(write=False)
    return order


def _walk(
    epoch_order: Callable[[int], np.ndarray], start: int, stop: int, *, count: int
) -> np.ndarray:
    parts = _by_epoch(start, stop, count=count)
    return np.concatenate([_NOTHING, *(epoch_order(epoch)[a:b] for epoch, a, b in parts)])


def _by_epoch(start: int, stop: int, *, count: int) -> list[tuple[int, int, int]]:
    """Cut a stretch of a walk where epochs end: number of the epoch, first place in it, end."""
    if start >= stop:
        return []
    epochs = range(start // count, (stop - 1) // count + 1)
    return [(e, max(start - e * count, 0), min(stop - e * count, count)) for e in epochs]

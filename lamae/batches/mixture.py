"""Mixtures: batches of several corpora, each of which has its share of every batch.

The walk of a mixture deals its places to the corpora, by whole numbers: each corpus gets its share
of any number of batches, to less than one recording for each corpus, and walks its own epochs.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple

import numpy as np

from lamae.batches.dataset import Batch, KeyedWindow, Positions, Split, collate
from lamae.batches.order import Order

_DEALT = 4
"""Purpose of a draw; those of the orders are others (lamae/batches/order.py)."""


class Part(NamedTuple):
    """Share of one corpus in some positions of a mixture."""

    number: int
    """Number of the corpus."""
    where: np.ndarray
    """Places in the positions asked for."""
    positions: np.ndarray
    """Positions in the split of the corpus."""


class Mixture:
    """The prepared recordings of several splits, by position: those of one after the other."""

    def __init__(self, splits: Sequence[Split], names: Sequence[str]) -> None:
        """Take the splits, which share a preprocessor; `names` precede the keys of each."""
        self.splits = tuple(splits)
        self.names = tuple(names)
        self.preprocessor = splits[0].preprocessor
        self.firsts = np.cumsum([0, *map(len, splits)])[:-1]
        """Position of the first recording of each split."""

    @property
    def place(self) -> str:
        """Places of the shards, for messages."""
        return ", ".join(split.place for split in self.splits)

    def __len__(self) -> int:
        """Return the number of recordings."""
        return sum(map(len, self.splits))

    def divide(self, positions: Positions) -> Iterator[Part]:
        """Yield the share of each corpus that has any of the positions."""
        chosen = np.asarray(positions)
        owners = np.searchsorted(self.firsts, chosen, side="right") - 1
        for number in np.unique(owners).tolist():
            (where,) = np.nonzero(owners == number)
            yield Part(number, where, chosen[where] - self.firsts[number])

    def lengths(self, positions: np.ndarray) -> np.ndarray:
        """Return samples of whole recordings at the preprocessor's rate: int64 (positions,)."""
        found = np.empty(len(positions), dtype=np.int64)
        for part in self.divide(positions):
            found[part.where] = self.splits[part.number].lengths(part.positions)
        return found

    def present(self, positions: np.ndarray) -> np.ndarray:
        """Return bool (positions, leads), as `Split.present`."""
        found = np.empty((len(positions), len(self.preprocessor.leads)), dtype=bool)
        for part in self.divide(positions):
            found[part.where] = self.splits[part.number].present(part.positions)
        return found

    def batch(self, positions: Positions, starts: np.ndarray | None = None) -> Batch:
        """Prepare recordings by position, as `Split.batch`; the name of its corpus is in a key."""
        samples: dict[int, KeyedWindow] = {}
        damaged: list[str] = []
        for part in self.divide(positions):
            begins = None if starts is None else starts[part.where]
            found, bad = self.splits[part.number].samples(part.positions, begins)
            named = ((self.key(part.number, key), prepared) for key, prepared in found)
            samples |= zip(part.where.tolist(), named, strict=True)
            damaged += (self.key(part.number, key) for key in bad)
        return collate([samples[place] for place in range(len(samples))], damaged)

    def key(self, number: int, key: str) -> str:
        """Return the key of a recording of a corpus."""
        return f"{self.names[number]}:{key}"


class Deal:
    """Decides which corpus each place of a walk belongs to, and which place of its own walk it is.

    Places are taken in hands of `size`, a batch. Within a hand they are shuffled, so that no corpus
    falls to some of the processes alone; then the first corpus takes every place at which its share
    of all places so far passes a whole number, and the others divide what is left in the same way.
    """

    def __init__(self, weights: Sequence[float], *, size: int, seed: int) -> None:
        """Deal in proportion to the weights, as they are written in decimals."""
        exact = [Fraction(str(weight)) for weight in weights]
        unit = lcm(*(weight.denominator for weight in exact))
        whole = [int(weight * unit) for weight in exact]
        self._shares = [(own, sum(whole[number:])) for number, own in enumerate(whole)]
        self._size, self._seed = size, seed

    def __call__(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of the corpus and the place in its walk, for places start..stop."""
        hands = range(start // self._size, -(-stop // self._size))
        places = np.concatenate([self._hand(hand) for hand in hands])
        places = places[start - hands.start * self._size :][: stop - start]
        if (stop + self._size) * self._shares[0][1] >= 2**63:
            places = places.astype(object)  # whole numbers of any size
        owners, own = np.full(len(places), -1), np.zeros(len(places), dtype=np.int64)
        for number, (weight, left) in enumerate(self._shares):
            before, after = places * weight // left, (places + 1) * weight // left
            is_own = (owners < 0) & (after > before).astype(bool)
            owners[is_own], own[is_own] = number, before[is_own].astype(np.int64)
            places = places - before
        return owners, own

    def first(self, number: int, place: int) -> int:
        """Return how many places before one, the first of a hand, belong to a corpus."""
        for weight, left in self._shares[:number]:
            place -= place * weight // left
        weight, left = self._shares[number]
        return place * weight // left

    def _hand(self, hand: int) -> np.ndarray:
        numbers = (self._seed, hand, 0, _DEALT)
        return hand * self._size + np.random.default_rng(numbers).permutation(self._size)


class Walk:
    """Positions of the batches of a run, in the orders of its corpora."""

    def __init__(
        self, data: Split | Mixture, orders: Sequence[Order], deal: Deal | None = None
    ) -> None:
        """Walk through a split in one order, or through the splits of a mixture, as it is dealt."""
        self._splits = data.splits if isinstance(data, Mixture) else (data,)
        self._firsts = data.firsts if isinstance(data, Mixture) else np.zeros(1, dtype=np.int64)
        self._orders, self._deal = orders, deal
        self._announced = [-1] * len(orders)

    def positions(self, start: int, stop: int) -> np.ndarray:
        """Return the positions at the places start..stop: int64 (stop - start,)."""
        if self._deal is None:
            return self._orders[0].positions(start, stop)
        owners, own = self._deal(start, stop)
        found = np.empty(len(own), dtype=np.int64)
        for number in np.unique(owners).tolist():
            (where,) = np.nonzero(owners == number)
            first, end = int(own[where].min()), int(own[where].max()) + 1
            walked = self._orders[number].positions(first, end)
            found[where] = self._firsts[number] + walked[own[where] - first]
        return found

    def announce(self, place: int) -> None:
        """Tell each corpus which shards will be read from a place on, the first of a batch."""
        for number, (split, order) in enumerate(zip(self._splits, self._orders, strict=True)):
            own = place if self._deal is None else self._deal.first(number, place)
            stretch = order.stretch(own)
            if stretch > self._announced[number]:
                self._announced[number] = stretch
                split.corpus.expect(order.shards_ahead(own).tolist())

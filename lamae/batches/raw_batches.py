"""Batches of a recording's own integers: read by the host, preprocessed on the device.

A batch can go this way whose recordings have the same leads, length and sampling rate, no missing
sample, some of the preprocessor's leads, and last no longer than a minute or two; the others are
preprocessed one by one, as lamae/batches/dataset.py does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor

from lamae.batches.batch_preprocess import BatchPreprocessor, is_for_batches, lead_matrix
from lamae.batches.dataset import Batch, Split
from lamae.batches.mixture import Mixture
from lamae.batches.node_memory import NodeMemory
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.storage.corpus import Corpus, Shape

_READ_AT_ONCE = 256


class RawBatch(NamedTuple):
    """Recordings of one shape, as the shards have them."""

    digital: Int16[Tensor, "b recorded samples"]
    """The recordings' own integers."""
    gain: Float[Tensor, "b recorded"]
    """Integer units per millivolt."""
    baseline: Float[Tensor, "b recorded"]
    """The integer at 0 mV."""
    shape: Shape
    """Rate, leads and other properties that the recordings share."""
    keys: tuple[str, ...]
    """Keys of the samples."""
    starts: Int[Tensor, " b"] | None = None
    """First samples of the windows, at the preprocessor's rate; None where all begin at 0."""


class MixedRawBatch(NamedTuple):
    """Recordings of a mixture: those of each corpus have one shape, which may be its own."""

    parts: tuple[RawBatch, ...]
    """Recordings of each corpus that has any."""
    order: Int[Tensor, " b"]
    """Row of each recording in the parts, one behind the other."""


class Stream:
    """Raw batches of a split, read from the shards each time."""

    def __init__(self, split: Split) -> None:
        """Read from the corpus of a split."""
        self._split = split

    def __call__(self, positions: np.ndarray, starts: np.ndarray | None = None) -> RawBatch | None:
        """Return recordings by position, with the starts of their windows.

        None where they cannot be read as one array, or not be preprocessed on the device.
        """
        corpus, rows = self._split.corpus, self._split.rows[positions]
        shape = corpus.common_shape(rows)
        if shape is None or not is_for_batches(self._split.preprocessor, **shape._asdict()):
            return None
        try:
            digital = corpus.digital(rows)
        except InputError:  # damaged: read one by one, it is named and replaced
            return None
        return _raw(corpus, rows, shape, torch.from_numpy(digital), starts)


class Resident:
    """Raw batches of a split that is held in memory, of the host or of a device.

    Recordings that are damaged or of another shape than most are not held; a batch with one of them
    is not raw.
    """

    def __init__(self, split: Split, device: torch.device, node: NodeMemory | None = None) -> None:
        """Read the recordings; raises InputError if fewer than half have the same shape.

        With `node`, the processes of a machine hold them together, and each reads its share: every
        process must do so.
        """
        self._split, corpus = split, split.corpus
        groups = corpus.shape_groups(split.rows)
        counts = np.bincount(groups[groups >= 0], minlength=1)
        held = np.flatnonzero(groups == counts.argmax())
        if 2 * len(held) < len(split):
            raise InputError(
                "residency",
                value=f"{len(held)} of {len(split)} recordings of {corpus.location} have one shape",
                expected="at least half with the same leads, length and sampling rate",
                remedy="Set residency=stream, or build shards of one shape.",
            )
        shape = corpus.common_shape(split.rows[held])
        assert shape is not None
        self._shape = shape
        self._is_for_batches = is_for_batches(split.preprocessor, **shape._asdict())
        size = (len(held), len(shape.leads), shape.samples)
        if node is None:
            self._digital = torch.empty(size, dtype=torch.int16, device=device)
            intact = np.zeros(len(held), dtype=bool)
            self._fill(held, intact, first=0, step=1)
        else:
            digital, intact = node.arrays((size, np.int16), (len(held), np.bool))
            self._digital = torch.from_numpy(digital)
            with node.together():
                self._fill(held, intact, first=node.number, step=node.processes)
        self._places = np.full(len(split), -1)
        self._places[held] = np.where(intact, np.arange(len(held)), -1)

    def _fill(self, held: np.ndarray, intact: np.ndarray, *, first: int, step: int) -> None:
        """Read every `step`-th stretch of the recordings to be held, from the `first` on."""
        for begin in range(first * _READ_AT_ONCE, len(held), step * _READ_AT_ONCE):
            own = slice(begin, begin + _READ_AT_ONCE)
            self._read(held[own], begin, intact)

    def _read(self, positions: np.ndarray, place: int, intact: np.ndarray) -> None:
        """Read recordings to `place` and the places behind it; a damaged one is left out."""
        try:
            digital = self._split.corpus.digital(self._split.rows[positions])
        except InputError:  # asked for, the damaged one is named and replaced
            if len(positions) > 1:
                for number in range(len(positions)):
                    self._read(positions[number : number + 1], place + number, intact)
            return
        self._digital[place : place + len(positions)] = torch.from_numpy(digital)
        intact[place : place + len(positions)] = True

    def __call__(self, positions: np.ndarray, starts: np.ndarray | None = None) -> RawBatch | None:
        """Return recordings by position, with the starts of their windows.

        None where one of them is not held, or they cannot be preprocessed on the device.
        """
        places = self._places[positions]
        if (places < 0).any() or not self._is_for_batches:
            return None
        chosen = self._digital.index_select(0, torch.from_numpy(places).to(self._digital.device))
        rows = self._split.rows[positions]
        return _raw(self._split.corpus, rows, self._shape, chosen, starts)


class Mixed:
    """Raw batches of a mixture."""

    def __init__(self, mixture: Mixture, sources: "Sequence[Stream | Resident]") -> None:
        """Join what the sources, one for each split of the mixture, have."""
        self._mixture, self._sources = mixture, sources

    def __call__(
        self, positions: np.ndarray, starts: np.ndarray | None = None
    ) -> MixedRawBatch | None:
        """Return recordings by position, as `Stream`; None where a corpus has none of that kind."""
        parts, places = [], []
        for part in self._mixture.divide(positions):
            begins = None if starts is None else starts[part.where]
            raw = self._sources[part.number](part.positions, begins)
            if raw is None:
                return None
            keys = tuple(self._mixture.key(part.number, key) for key in raw.keys)
            parts.append(raw._replace(keys=keys))
            places.append(part.where)
        return MixedRawBatch(tuple(parts), torch.from_numpy(np.argsort(np.concatenate(places))))


class OnDevice:
    """Preprocesses raw batches, on the device where the model is."""

    def __init__(self, preprocessor: Preprocessor, device: torch.device) -> None:
        """Keep one pair of matrices for each shape that comes."""
        self._preprocessor, self._device = preprocessor, device
        self._by_shape: dict[Shape, BatchPreprocessor] = {}

    def __call__(self, raw: RawBatch | MixedRawBatch) -> Tensor:
        """Return the normalised signal of each recording, float32 (b, l, samples)."""
        if isinstance(raw, MixedRawBatch):
            order = raw.order.to(self._device, non_blocking=True)
            return torch.cat([self(part) for part in raw.parts])[order]
        if raw.shape not in self._by_shape:
            self._by_shape[raw.shape] = BatchPreprocessor(
                self._preprocessor, device=self._device, **raw.shape._asdict()
            )
        values = (raw.digital, raw.gain, raw.baseline)
        digital, gain, baseline = (value.to(self._device, non_blocking=True) for value in values)
        starts = raw.starts
        if starts is not None:
            starts = starts.to(self._device, non_blocking=True)
        return self._by_shape[raw.shape](digital, gain, baseline, starts)


def without_signal(raw: RawBatch | MixedRawBatch, preprocessor: Preprocessor) -> Batch:
    """Return what is known of a raw batch before it is preprocessed: all but the signal."""
    if isinstance(raw, MixedRawBatch):
        return _without_signals(raw, preprocessor)
    b, shape = len(raw.keys), raw.shape
    present = torch.from_numpy(lead_matrix(preprocessor.leads, shape.leads)[1])
    lengths = np.array([shape.samples]), np.array([shape.sampling_rate])
    (length,) = preprocessor.lengths(*lengths).tolist()
    recorded = min(length, preprocessor.samples)
    return Batch(
        signal=torch.empty(b, len(preprocessor.leads), 0),
        present=None if present.all() else present.expand(b, -1),
        keys=raw.keys,
        samples=None if recorded == preprocessor.samples else torch.full((b,), recorded),
    )


def _without_signals(raw: MixedRawBatch, preprocessor: Preprocessor) -> Batch:
    known = [without_signal(part, preprocessor) for part in raw.parts]
    b, leads = len(raw.order), len(preprocessor.leads)
    keys = [key for one in known for key in one.keys]
    present = torch.ones(b, leads, dtype=torch.bool)
    samples = torch.full((b,), preprocessor.samples)
    rows = torch.empty_like(raw.order).index_copy_(0, raw.order, torch.arange(b))
    for one, own in zip(known, rows.split([len(one.keys) for one in known]), strict=True):
        if one.present is not None:
            present[own] = one.present
        if one.samples is not None:
            samples[own] = one.samples
    return Batch(
        signal=torch.empty(b, leads, 0),
        present=None if present.all() else present,
        keys=tuple(keys[place] for place in raw.order.tolist()),
        samples=None if all(one.samples is None for one in known) else samples,
    )


def _raw(
    corpus: Corpus, rows: np.ndarray, shape: Shape, digital: Tensor, starts: np.ndarray | None
) -> RawBatch:
    gain, baseline = corpus.scales(rows)
    return RawBatch(
        digital=digital,
        gain=torch.from_numpy(gain),
        baseline=torch.from_numpy(baseline),
        shape=shape,
        keys=tuple(corpus.keys[rows]),
        starts=None if starts is None else torch.from_numpy(starts),
    )

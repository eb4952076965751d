"""Batches of a recording's own integers: read by the host, preprocessed on the device.

A batch can go this way whose recordings have the same leads, length and sampling rate, no missing
sample, some of the preprocessor's leads, and last no longer than a minute or two; the others are
preprocessed one by one, as lamae/batches/dataset.py does.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Int16
from torch import Tensor

from lamae.batches.batch_preprocess import BatchPreprocessor, is_for_batches, lead_matrix
from lamae.batches.dataset import Batch, Split
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

    def __init__(self, split: Split, device: torch.device) -> None:
        """Read the recordings; raises InputError if fewer than half have the same shape."""
        self._split, corpus = split, split.corpus
        groups = corpus.shape_groups(split.rows)
        counts = np.bincount(groups[groups >= 0], minlength=1)
        held = np.flatnonzero(groups == counts.argmax())
        if 2 * len(held) < len(split):
            raise InputError(
                "residency",
                value=f"{len(held)} of {len(split)} recordings of {corpus.folder} have one shape",
                expected="at least half with the same leads, length and sampling rate",
                remedy="Set residency=stream, or build shards of one shape.",
            )
        shape = corpus.common_shape(split.rows[held])
        assert shape is not None
        self._shape = shape
        self._is_for_batches = is_for_batches(split.preprocessor, **shape._asdict())
        self._places = np.full(len(split), -1)
        size = (len(held), len(shape.leads), shape.samples)
        self._digital = torch.empty(size, dtype=torch.int16, device=device)
        for first in range(0, len(held), _READ_AT_ONCE):
            self._hold(held[first : first + _READ_AT_ONCE], first)

    def _hold(self, positions: np.ndarray, place: int) -> None:
        """Read recordings to `place` and the places behind it; a damaged one is left out."""
        try:
            digital = self._split.corpus.digital(self._split.rows[positions])
        except InputError:  # asked for, the damaged one is named and replaced
            if len(positions) > 1:
                for number in range(len(positions)):
                    self._hold(positions[number : number + 1], place + number)
            return
        self._digital[place : place + len(positions)] = torch.from_numpy(digital)
        self._places[positions] = np.arange(place, place + len(positions))

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


class OnDevice:
    """Preprocesses raw batches, on the device where the model is."""

    def __init__(self, preprocessor: Preprocessor, device: torch.device) -> None:
        """Keep one pair of matrices for each shape that comes."""
        self._preprocessor, self._device = preprocessor, device
        self._by_shape: dict[Shape, BatchPreprocessor] = {}

    def __call__(self, raw: RawBatch) -> Tensor:
        """Return the normalised signal of each recording, float32 (b, l, samples)."""
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


def without_signal(raw: RawBatch, preprocessor: Preprocessor) -> Batch:
    """Return what is known of a raw batch before it is preprocessed: all but the signal."""
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

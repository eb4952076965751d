"""Batches of a recording's own integers: read by the host, preprocessed on the device.

A batch can go this way whose recordings have the same leads, length and sampling rate, and no
missing sample; the others are preprocessed one by one, as lamae/dataset.py does.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int16
from torch import Tensor

from lamae.batch_preprocess import BatchPreprocessor, lead_matrix
from lamae.corpus import Corpus, Shape
from lamae.dataset import Batch, Split
from lamae.errors import InputError
from lamae.preprocess import Preprocessor

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
    """What the recordings have in common."""
    keys: tuple[str, ...]
    """Keys of the samples."""


class Stream:
    """Raw batches of a split, read from the shards each time."""

    def __init__(self, split: Split) -> None:
        """Read from the corpus of a split."""
        self._split = split

    def __call__(self, positions: np.ndarray) -> RawBatch | None:
        """Return recordings by position; None where they cannot be read as one array."""
        corpus, rows = self._split.corpus, self._split.rows[positions]
        shape = corpus.common_shape(rows)
        if shape is None:
            return None
        try:
            digital = corpus.digital(rows)
        except InputError:  # damaged: read one by one, it is named and replaced
            return None
        return _raw(corpus, rows, shape, torch.from_numpy(digital))


class Resident:
    """Raw batches of a split that is held in memory, of the host or of a device.

    Recordings of another shape than most have are not held; a batch with one of them is not raw.
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
        rows = split.rows[held]
        shape = corpus.common_shape(rows)
        assert shape is not None
        self._shape = shape
        self._places = np.full(len(split), -1)
        self._places[held] = np.arange(len(held))
        size = (len(held), len(shape.leads), shape.samples)
        self._digital = torch.empty(size, dtype=torch.int16, device=device)
        for start in range(0, len(held), _READ_AT_ONCE):
            some = rows[start : start + _READ_AT_ONCE]
            self._digital[start : start + len(some)] = torch.from_numpy(corpus.digital(some))

    def __call__(self, positions: np.ndarray) -> RawBatch | None:
        """Return recordings by position; None where one of them is not held."""
        places = self._places[positions]
        if (places < 0).any():
            return None
        chosen = self._digital.index_select(0, torch.from_numpy(places).to(self._digital.device))
        return _raw(self._split.corpus, self._split.rows[positions], self._shape, chosen)


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
        return self._by_shape[raw.shape](
            *(value.to(self._device, non_blocking=True) for value in values)
        )


def without_signal(raw: RawBatch, preprocessor: Preprocessor) -> Batch:
    """Return what is known of a raw batch before it is preprocessed: all but the signal."""
    b, shape = len(raw.keys), raw.shape
    present = torch.from_numpy(lead_matrix(preprocessor.leads, shape.leads)[1])
    lengths = np.array([shape.samples]), np.array([shape.sampling_rate])
    (recorded,) = preprocessor.recorded_samples(*lengths).tolist()
    return Batch(
        signal=torch.empty(b, len(preprocessor.leads), 0),
        present=None if present.all() else present.expand(b, -1),
        keys=raw.keys,
        samples=None if recorded == preprocessor.samples else torch.full((b,), recorded),
    )


def _raw(corpus: Corpus, rows: np.ndarray, shape: Shape, digital: Tensor) -> RawBatch:
    gain, baseline = corpus.scales(rows)
    return RawBatch(
        digital=digital,
        gain=torch.from_numpy(gain),
        baseline=torch.from_numpy(baseline),
        shape=shape,
        keys=tuple(corpus.keys[rows]),
    )

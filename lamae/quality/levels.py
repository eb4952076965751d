"""Levels of a recording that several checks need, and the finding of a check."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lamae.ecg.record import MISSING, Record


class Levels(NamedTuple):
    """Level of each lead, over the samples that are not missing; integers of the file."""

    lowest: np.ndarray
    """int16 (leads,); 0 where all samples are missing."""
    highest: np.ndarray
    """int16 (leads,); 0 where all samples are missing."""
    mean: np.ndarray
    """float64 (leads,); 0 where all samples are missing."""
    missing: np.ndarray
    """int (leads,): number of missing samples."""

    @property
    def moving(self) -> np.ndarray:
        """Bool (leads,): the lead has two different values."""
        return self.lowest < self.highest


class Finding(NamedTuple):
    """Finding of a check in a recording."""

    what: str
    """Fault, with its leads and values."""
    expected: str
    """Expectation that was not met."""
    repaired: Callable[[], Record] | None = None
    """Makes the repaired recording, where there is a repair."""
    done: str = ""
    """Act of the repair, as said when it is done."""


def measure(record: Record) -> Levels:
    """Measure the levels of a recording that has at least one sample."""
    digital = record.digital
    samples = digital.shape[1]
    lowest, highest = digital.min(axis=1), digital.max(axis=1)
    total = digital.sum(axis=1, dtype=np.int64)
    missing = np.zeros(len(digital), dtype=np.int64)
    gaps = lowest == MISSING
    if gaps.any():
        missing[gaps] = np.count_nonzero(digital[gaps] == MISSING, axis=1)
        known = np.where(digital[gaps] == MISSING, highest[gaps, None], digital[gaps])
        lowest[gaps] = known.min(axis=1)
        total -= missing * MISSING
        empty = missing == samples
        lowest[empty] = highest[empty] = 0
    return Levels(lowest, highest, total / np.maximum(samples - missing, 1), missing)


def in_mv(record: Record, digital: np.ndarray) -> np.ndarray:
    """Return one integer per lead, (leads,), in millivolts."""
    return (digital - np.asarray(record.baseline)) / np.asarray(record.gain)


def named(record: Record, found: np.ndarray) -> str:
    """Join the names of the leads where `found`, bool (leads,), is True."""
    return ", ".join(lead for lead, true in zip(record.leads, found, strict=True) if true)


def with_values(record: Record, found: np.ndarray, values: np.ndarray, unit: str) -> str:
    """Join the names of the leads where `found` with the value of each."""
    pairs = zip(record.leads, found, values, strict=True)
    return ", ".join(f"{lead} {value:.3g} {unit}" for lead, true, value in pairs if true)

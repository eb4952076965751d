"""Recordings that are alike, though their integers, rates, gains and keys differ.

Each lead's first seconds become means of a twenty-fifth of a second, without their mean and of unit
length: equal for a recording at 500 Hz and at 100 Hz, in other units, or rounded otherwise.
Products of four leads find candidates among all pairs, all common leads decide. A recording of the
other corpus takes 6 kB of memory.

Seen: another rate, gain, unit, resolution, order or choice of leads, a longer or shorter end. Not
seen: a recording that begins elsewhere, was filtered or warped, or shares no lead with the other.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from lamae.ecg.leads import LEADS
from lamae.ecg.record import Record
from lamae.storage.corpus import Corpus

SECONDS = 5.0
"""Seconds at the beginning that are compared."""

_RATE = 25
_WIDTH = int(SECONDS * _RATE)
_SEARCHED = ("I", "II", "V2", "V5")
_ROWS = 512
_MARGIN = 0.02


class Pair(NamedTuple):
    """Two rows that are one recording."""

    row: int
    other: int
    correlation: float


def fingerprint(record: Record) -> np.ndarray:
    """Return float32 (12, 125): means of the leads in the canonical order, NaN of an absent one."""
    found = np.full((len(LEADS), _WIDTH), np.nan, np.float32)
    rate = record.sampling_rate
    if record.duration_s < SECONDS or rate < 2 * _RATE:
        return found
    signal = np.nan_to_num(record.signal_mv()[:, : int(SECONDS * rate) + 1].astype(np.float64))
    # Samples are points that lines join: the integral of these is the same at any rate.
    steps = (signal[:, 1:] + signal[:, :-1]) / 2
    integral = np.concatenate([np.zeros((len(signal), 1)), np.cumsum(steps, axis=1)], axis=1)
    times = np.minimum(np.arange(_WIDTH + 1) * rate / _RATE, signal.shape[1] - 1)
    low = np.minimum(times.astype(int), signal.shape[1] - 2)
    at_times = integral[:, low] + (times - low) * steps[:, low]
    means = np.diff(at_times, axis=1)
    means -= means.mean(axis=1, keepdims=True)
    lengths = np.sqrt((means**2).sum(axis=1, keepdims=True))
    places = [LEADS.index(lead) for lead in record.leads]
    found[places] = np.divide(means, lengths, out=np.full_like(means, np.nan), where=lengths > 0)
    return found


def near_pairs(
    corpus: Corpus,
    rows: Sequence[int],
    other: Corpus,
    rows_of_other: Sequence[int],
    *,
    least: float,
) -> Iterator[Pair]:
    """Yield pairs of rows of two corpora whose mean correlation over common leads is `least`."""
    theirs = _fingerprints(other, rows_of_other)
    for start in range(0, len(rows), _ROWS):
        ours = _fingerprints(corpus, rows[start : start + _ROWS])
        for place, match in sorted(_candidates(ours, theirs, least - _MARGIN)):
            correlation = _correlation(ours[place], theirs[match])
            if correlation >= least:
                yield Pair(int(rows[start + place]), int(rows_of_other[match]), correlation)


def _candidates(ours: np.ndarray, theirs: np.ndarray, least: float) -> set[tuple[int, int]]:
    """Return places of pairs that one of the leads searched makes likely."""
    found: set[tuple[int, int]] = set()
    for lead in (LEADS.index(name) for name in _SEARCHED):
        products = np.nan_to_num(ours[:, lead]) @ np.nan_to_num(theirs[:, lead]).T
        found |= {(int(a), int(b)) for a, b in np.argwhere(products >= least)}
    return found


def _fingerprints(corpus: Corpus, rows: Sequence[int]) -> np.ndarray:
    """Return float32 (rows, 12, 125)."""
    found = np.empty((len(rows), len(LEADS), _WIDTH), np.float32)
    for place, row in enumerate(tqdm(rows, unit="rec", disable=None, leave=False)):
        found[place] = fingerprint(corpus.record(int(row)))
    return found


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    products = (one * other).sum(axis=1)
    common = products[~np.isnan(products)]
    return float(common.mean()) if len(common) else 0.0

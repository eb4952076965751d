"""Checks of leads that stand still: where nothing was connected, and where they saturate."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lamae.ecg.amplitude import window_extremes
from lamae.ecg.record import MISSING, Record
from lamae.quality.levels import Finding, Levels, with_values
from lamae.quality.settings import QualitySettings

_LIMITS = (MISSING + 1, -(MISSING + 1))
"""Smallest and largest value that 16 bits hold beside `MISSING`."""


class Runs(NamedTuple):
    """Runs of True in a row of booleans."""

    start: np.ndarray
    """int (runs,): first sample."""
    stop: np.ndarray
    """int (runs,): sample after the last."""


def runs_of(true: np.ndarray) -> Runs:
    """Return the runs of True in a row, bool (samples,)."""
    edges = np.flatnonzero(np.diff(true, prepend=False, append=False))
    return Runs(edges[::2], edges[1::2])


def find_constant_run(record: Record, levels: Levels, quality: QualitySettings) -> Finding | None:
    """Find moving leads that keep one value for too long."""
    longest = round(quality.constant_run.max_s * record.sampling_rate)
    # A longer run holds a whole window of half its length, in which the lead has one value.
    lowest, highest = window_extremes(record.digital, max(1, (longest + 1) // 2))
    still = (lowest == highest).any(axis=1)
    suspects = np.flatnonzero(still & levels.moving).tolist()
    runs = {row: _constant_runs(record.digital[row], longest) for row in suspects}
    runs = {row: found for row, found in runs.items() if len(found.start)}
    if not runs:
        return None
    seconds = np.zeros(len(record.leads))
    for row, found in runs.items():
        seconds[row] = (found.stop - found.start).max() / record.sampling_rate
    return Finding(
        f"constant runs, the longest of {with_values(record, seconds > 0, seconds, 's')}",
        f"at most {quality.constant_run.max_s:g} s",
        lambda: _without(record, runs),
        "these samples marked as missing",
    )


def _constant_runs(row: np.ndarray, longest: int) -> Runs:
    """Return the runs of one value, not missing, that have more than `longest` samples."""
    edges = np.flatnonzero(np.diff(row)) + 1
    start, stop = np.concatenate([[0], edges]), np.concatenate([edges, [len(row)]])
    kept = (stop - start > longest) & (row[start] != MISSING)
    return Runs(start[kept], stop[kept])


def _without(record: Record, runs: dict[int, Runs]) -> Record:
    digital = record.digital.copy()
    for row, found in runs.items():
        for start, stop in zip(*found, strict=True):
            digital[row, start:stop] = MISSING
    return replace(record, digital=digital)


def find_clipped(record: Record, levels: Levels, quality: QualitySettings) -> Finding | None:
    """Find moving leads with plateaus at their extreme values, or samples at the limit of 16 bits.

    A signal that was resampled after it saturated has no exact plateau, and is not found.
    """
    settings = quality.clipped
    clipped = np.zeros(len(record.leads), dtype=np.int64)
    at_limit = np.zeros(len(record.leads), dtype=bool)
    for extreme, limit in zip((levels.lowest, levels.highest), _LIMITS, strict=True):
        at_extreme = record.digital == extreme[:, None]
        often = np.count_nonzero(at_extreme, axis=1) >= settings.min_plateau_samples
        at_limit |= extreme == limit
        for row in np.flatnonzero((often | (extreme == limit)) & levels.moving):
            runs = runs_of(at_extreme[row])
            lengths = runs.stop - runs.start
            plateaus = lengths >= settings.min_plateau_samples
            plateaus &= _jump(record.digital[row], runs) > settings.min_jump_mv * abs(
                record.gain[row]
            )
            clipped[row] += lengths[plateaus | (extreme[row] == limit)].sum()
    found = ((clipped >= settings.min_samples) | at_limit) & levels.moving
    if not found.any():
        return None
    what = f"saturation in {with_values(record, found, clipped, 'samples')}"
    return Finding(what, f"fewer than {settings.min_samples} samples on plateaus of a lead")


def _jump(row: np.ndarray, runs: Runs) -> np.ndarray:
    """Return the larger of the steps into and out of each run; none where it meets a gap."""
    padded = np.pad(row.astype(np.int32), 1, mode="edge")
    values = row[runs.start].astype(np.int32)
    before, after = padded[runs.start], padded[runs.stop + 1]
    steps = [np.where(side == MISSING, 0, np.abs(side - values)) for side in (before, after)]
    return np.maximum(*steps)

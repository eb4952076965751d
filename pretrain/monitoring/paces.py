"""The processes of a run side by side: the pace of each, and which of them hold up the others."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from lamae.runs.cores import node_name

SLOWER = 1.25
"""A straggler takes more than this times the median of all processes by itself, ..."""
NOTICEABLE = 0.05
"""... and is above it by more than this share of a step."""
RANK, STRAGGLER = "rank/", "straggler/"
"""Beginnings of the names under which `metrics.jsonl` has both."""


class Pace(NamedTuple):
    """Figures of one process since the last row of the log."""

    host: str
    """Name of its machine."""
    step_s: float
    """Seconds of a step, the same for all but for the reading of clocks: they wait for each other.
    """
    own_s: float
    """Seconds of a step that are its own: waiting for its recordings, and forward."""
    data_wait_share: float
    """Share of a step in which it waits for its recordings."""
    ecg_per_s: float
    """Recordings that it trains on in a second."""
    damaged: int
    """Damaged samples that others stand in for, since the process began."""


def own_pace(report: dict[str, float], *, forward_s: float, processes: int, damaged: int) -> Pace:
    """Return the pace of this process by what its meter reports and the forward time of a step."""
    step_s, share = report["time/step_s"], report["time/data_wait_share"]
    return Pace(
        host=node_name(),
        step_s=step_s,
        own_s=share * step_s + forward_s,
        data_wait_share=share,
        ecg_per_s=report["time/ecg_per_s"] / processes,
        damaged=damaged,
    )


def stragglers(paces: Sequence[Pace]) -> dict[int, float]:
    """Return how many times the median each straggler takes by itself, by rank.

    The median of an even number of processes is the lower one of the two in the middle, so that of
    two the slower is compared with the faster.
    """
    median = statistics.median_low(pace.own_s for pace in paces)
    return {
        rank: pace.own_s / median
        for rank, pace in enumerate(paces)
        if pace.own_s > SLOWER * median > 0 and pace.own_s - median > NOTICEABLE * pace.step_s
    }


def pace_scalars(paces: Sequence[Pace]) -> dict[str, float]:
    """Return scalars of the log: figures of each of several processes, damage, and stragglers."""
    found: dict[str, float] = {}
    damaged = sum(pace.damaged for pace in paces)
    if damaged:
        found["data/damaged"] = float(damaged)
    if len(paces) == 1:
        return found
    for rank, pace in enumerate(paces):
        for name in ("step_s", "own_s", "data_wait_share", "ecg_per_s"):
            found[f"{RANK}{rank}/{name}"] = getattr(pace, name)
    for rank, factor in stragglers(paces).items():
        found[f"{STRAGGLER}{paces[rank].host}/rank_{rank}"] = factor
    return found


def named_straggler(name: str, factor: float) -> str:
    """Return a straggler of the log in words, by the name of its scalar."""
    host, _, rank = name.removeprefix(STRAGGLER).rpartition("/rank_")
    return f"process {rank} on {host} takes {factor:.1f} times the median by itself"

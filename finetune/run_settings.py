"""Settings that most commands share: overwriting, threads, intervals and the seed."""

from pydantic import Field

from lamae.config import Settings


class RunSettings(Settings):
    """Treatment of results that are there already, and threads."""

    overwrite: bool = False
    """Replace the results that are there."""
    cpu_threads: int | None = Field(None, gt=0)
    """Threads of each process where there is no GPU; by default its share of the cores."""


class IntervalSettings(Settings):
    """Intervals by resampling patients."""

    resamples: int = Field(1000, gt=0)
    """Bootstrap resamples of patients behind each interval."""
    seed: int = Field(0, ge=0)
    """Decides the resamples."""

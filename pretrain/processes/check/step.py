"""A step of a run that is tried: the memory that it needs, and the time of the whole run."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from lamae.model.autoencoder import LAMAE
from lamae.runs.run_folder import newest_checkpoint, step_of
from pretrain.cost.memory import (
    AVERAGE_BYTES,
    KEPT_BF16,
    KEPT_FP32,
    STATE_BYTES,
    checkpointed_bytes,
    kept_bytes,
)
from pretrain.monitoring.status import span
from pretrain.settings import PretrainSettings

_GIB = 2**30


class Tried(NamedTuple):
    """A step that was done."""

    first_s: float
    """Seconds of the first one, with what is built or compiled for it."""
    step_s: float
    """Seconds of one with the whole batch; in proportion, where it was tried with less."""
    peak: int
    """Most bytes of memory that this process took."""
    recordings: int
    """Recordings of each process that it was tried with."""

    @property
    def text(self) -> str:
        """Return the step in words."""
        return f"{self.step_s:.3g} s a step, peak {self.peak / _GIB:.2g} GiB"


def planned_bytes(settings: PretrainSettings, model: LAMAE, recordings: int) -> float:
    """Return the memory that a process needs for a part of a step of so many recordings."""
    unit = KEPT_BF16 if settings.precision == "bf16" else KEPT_FP32
    shape = {"leads": len(settings.preprocess.leads), "patches": settings.patches}
    parameters = sum(each.numel() for each in model.parameters())
    state = STATE_BYTES + (AVERAGE_BYTES if settings.ema is not None else 0)
    kept = checkpointed_bytes if settings.activation_checkpointing else kept_bytes
    return recordings * kept(settings.model, unit, **shape) + state * parameters


def own_share(settings: PretrainSettings, processes: int, accumulation: int) -> int:
    """Return recordings of each process in a part of a step."""
    return settings.batch_size // (processes * accumulation)


def candidates(settings: PretrainSettings, processes: int) -> Iterator[int]:
    """Yield accumulations that divide the batch, from that of the settings upwards."""
    largest = settings.batch_size // processes
    for parts in range(settings.accumulation, largest + 1):
        if settings.batch_size % (processes * parts) == 0:
            yield parts


@runtime_checkable
class Trials(Protocol):
    """Steps of a run that can be tried; pretrain/trial.py has them."""

    @property
    def is_spread(self) -> bool:
        """True where weights or moments are spread over the processes: none can try by itself."""

    def accumulation(self) -> int:
        """Return the least accumulation, from that of the settings, at which a part fits here."""

    def few(self) -> Tried:
        """Do steps of few recordings, to know how many can be tried."""

    def step(self, *, accumulation: int, is_compiled: bool, per_recording_s: float) -> Tried:
        """Do steps of the whole batch or, where that would take long, of a part of it."""


def duration_text(
    settings: PretrainSettings, tried: Tried, *, processes: int, reading_s: float, saving_s: float
) -> str:
    """Return in words how long the run takes, by a step, by reading and by saving.

    A step waits for its recordings where reading them takes longer; validation takes a third of
    the step's time for each recording, as it has no backward.
    """
    newest = newest_checkpoint(settings.run_dir)
    steps = settings.steps - (step_of(newest) if newest and settings.resume else 0)
    if steps <= 0:
        return f"none: the run has done its {settings.steps:,} steps"
    stepping = steps * max(tried.step_s, reading_s)
    per_recording = tried.step_s / settings.batch_size
    validating = (steps / settings.validate_every) * settings.validation_samples * per_recording / 3
    saving = (steps / settings.checkpoint_every) * saving_s
    total = stepping + validating + saving
    return (
        f"about {span(total)} for {steps:,} steps on {processes} processes, of it "
        f"{validating / total:.0%} validation and {saving / total:.0%} checkpoints"
    )

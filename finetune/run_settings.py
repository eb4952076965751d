"""Settings that commands share, and those of the final evaluation."""

from pydantic import Field

from finetune.openings import TEST
from lamae.config import FolderPath, Settings


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


class EvaluationSettings(Settings):
    """Classes that the headline counts, prevalences, and thresholds by rule."""

    min_positive_patients: int = Field(10, gt=0)
    """Patients who must have a class, and who must lack it, for it to be in the means of the
    headline; a class of fewer is shown apart, and 1 takes all in."""
    prevalences: tuple[float, ...] = (0.01, 0.1)
    """Shares of people with a class, as where a model is to be used, for which predictive values,
    missed patients and false alarms are reckoned beside those of the evaluation recordings."""
    min_sensitivity: float = Field(0.9, gt=0, le=1)
    """Sensitivity of a threshold by rule, reached on the held-out patients with as few false
    alarms as can be."""
    missed_cost: float = Field(10.0, gt=0)
    """Cost of a missed recording in false alarms, of a threshold by rule."""
    exclusive: tuple[str, ...] = ()
    """Classes that exclude all others, such as [normal]: a recording is called such a class where
    it is likelier than any other that is called, and then nothing else, and otherwise not."""


class FinalSettings(RunSettings):
    """A finished run, and the split that it is evaluated on at last."""

    run: FolderPath
    """Finished run of finetune/main.py, evaluated on another split until now."""
    split: str = Field(TEST, min_length=1)
    """Split of the final evaluation."""

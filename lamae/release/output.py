"""The output of a released model: classes, thresholds, and what was measured at them."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from lamae.config import Settings


class Measure(Settings):
    """A measure with its confidence interval."""

    estimate: float
    """On all recordings of the evaluation."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""

    @model_validator(mode="after")
    def _ordered(self) -> "Measure":
        if not self.low <= self.estimate <= self.high:
            raise ValueError(f"{self.low} <= {self.estimate} <= {self.high} does not hold")
        return self

    def __str__(self) -> str:
        """Write it with three decimals, as tables of this field do."""
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


class ClassDescription(Settings):
    """One class of a classifier; its index is its place among the classes."""

    name: str
    """Name, as in tables."""
    description: str
    """The name in words."""
    codes: Mapping[str, tuple[str, ...]] = Field({})
    """Codes of coding systems, such as scp, snomed or icd10."""
    threshold: float | None = Field(ge=0, le=1)
    """Lowest probability that is called positive; null where none could be chosen."""
    sensitivity: Measure | None
    """At the threshold."""
    specificity: Measure | None
    """At the threshold."""
    auroc: Measure | None
    """Area under the ROC curve."""
    prevalence: float | None
    """Share of the evaluation recordings that have it."""


class ScoreDescription(Settings):
    """The score of a detector, by which a recording is called abnormal."""

    name: str
    """Score that decides."""
    over: str
    """Reduction of the scores of windows to that of a recording."""
    threshold: float
    """Lowest score that is called abnormal."""
    sensitivity: Measure | None
    """At the threshold, of abnormal recordings."""
    specificity: Measure | None
    """At the threshold, of normal recordings."""
    auroc: Measure | None
    """Area under the ROC curve, abnormal against normal."""


class Calibration(Settings):
    """Relation of probabilities to frequencies."""

    method: str
    """none where probabilities are those of the network."""
    error: Measure | None
    """Expected calibration error, the mean over classes."""


class DistributionDescription(Settings):
    """Recordings by whose embeddings others are called unlike training."""

    recordings: int
    """Number of recordings, each of another patient of the training split."""
    directions: int
    """Directions of their embeddings that have a variance of their own."""
    percentile: float
    """Share, in percent, that must lie nearer than a recording that is called unlike these."""


class OutputDescription(Settings):
    """The answer of the model."""

    embedding_width: int | None
    """Numbers of an embedding; null where there is none."""
    similarity: Literal["cosine"] = "cosine"
    """Measure by which embeddings are compared."""
    distribution: DistributionDescription | None = None
    """Of a model that knows the embeddings of its training."""
    classes: tuple[ClassDescription, ...] = ()
    """Classes in the order of the probabilities; none of an encoder or a detector."""
    multi_label: bool | None = None
    """True where a recording may have several classes, False where it has exactly one."""
    threshold_rule: str | None = None
    """Rule by which thresholds were chosen, and on whom."""
    calibration: Calibration | None = None
    """Of a classifier."""
    score: ScoreDescription | None = None
    """Of a detector."""

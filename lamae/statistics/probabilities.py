"""Probabilities from logits, through the calibration of a classifier where it has one."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped
from pydantic import Field, model_validator
from scipy.special import expit, softmax

from lamae.config import Settings


class ClassCalibration(Settings):
    """From the logit of a class to a logit, or to a probability, that holds on other patients."""

    slope: float = Field(1.0, gt=0)
    """Times the logit."""
    intercept: float = 0.0
    """Added to that."""
    logits: tuple[float, ...] = ()
    """Rising logits at which probabilities are known, of an isotonic calibration."""
    probabilities: tuple[float, ...] = ()
    """Probabilities there, which never fall; between two logits they lie on a line."""

    @model_validator(mode="after")
    def _consistent(self) -> "ClassCalibration":
        logits, values = np.array(self.logits), np.array(self.probabilities)
        if (
            len(logits) != len(values)
            or (np.diff(logits) <= 0).any()
            or (np.diff(values) < 0).any()
        ):
            raise ValueError("logits must rise, and each have a probability, which never falls")
        if ((values < 0) | (values > 1)).any():
            raise ValueError("probabilities must be between 0 and 1")
        return self


def probabilities(
    logits: Shaped[np.ndarray, "*records classes"],
    *,
    multi_label: bool,
    calibration: Sequence[ClassCalibration] = (),
) -> np.ndarray:
    """Return what logits stand for: of a sigmoid for several classes, of a softmax for one.

    `calibration` has a part for each class, or none. Isotonic parts count for several classes only.
    """
    plain = logits
    if calibration:
        slopes, intercepts = zip(
            *((each.slope, each.intercept) for each in calibration), strict=True
        )
        logits = logits * np.array(slopes) + np.array(intercepts)
    if not multi_label:
        return softmax(logits, axis=-1)
    found = expit(logits)
    for column, each in enumerate(calibration):
        if each.logits:
            found[..., column] = np.interp(plain[..., column], each.logits, each.probabilities)
    return found

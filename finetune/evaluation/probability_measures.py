"""Measures of probabilities of one classifier by class: calibration line and decision curve."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from finetune.evaluation.ranking_measures import interval_as_dict
from lamae.statistics.calibration import calibration_line
from lamae.statistics.metrics import defined_classes
from lamae.statistics.net_benefit import DecisionCurve, decision_curve

LINE = {"calibration_intercept": "Intercept", "calibration_slope": "Slope"}
"""Keys and names of the parts of a calibration line; 0 and 1 are best."""
ACTED_FROM = np.arange(1, 100) / 100
"""Probabilities from which on somebody acts, of a decision curve."""


def calibration_lines(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Float[np.ndarray, "records classes"],
    patients: Sequence[str],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return, for `per_class` of summary.json, the calibration line of each class that has one."""
    _, number = np.unique(np.asarray(patients), return_inverse=True)
    found: dict[str, dict[str, Any]] = {name: {} for name in classes}
    for column in np.flatnonzero(defined_classes(labels)).tolist():
        line = calibration_line(labels[:, column], probabilities[:, column], number)
        if line is not None:
            parts = map(interval_as_dict, line)
            found[classes[column]] = dict(zip(LINE, parts, strict=True))
    return {"per_class": found}


def decision_curves(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Float[np.ndarray, "records classes"],
    classes: Sequence[str],
) -> dict[str, DecisionCurve]:
    """Return the decision curve of each class that some recordings have and some lack."""
    return {
        classes[column]: decision_curve(labels[:, column], probabilities[:, column], ACTED_FROM)
        for column in np.flatnonzero(defined_classes(labels)).tolist()
    }

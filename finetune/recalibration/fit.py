"""Calibration and threshold of each class, fitted on labelled recordings.

platt: a logistic regression on the logit, on targets (N+ + 1) / (N+ + 2) and 1 / (N- + 2) rather
than 1 and 0 (Platt 1999), which keeps the slope finite where a class is told apart without error.
isotonic: the rising curve of least squares over the logit (Zadrozny and Elkan, KDD 2002), with ends
that stay off 0 and 1; it needs many recordings (Niculescu-Mizil and Caruana, ICML 2005). Of a
softmax: one slope for all classes and an intercept for each (temperature and bias scaling).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logsumexp

from finetune.recalibration.settings import Method, RecalibrateSettings
from lamae.statistics.probabilities import ClassCalibration, probabilities
from lamae.statistics.thresholds import (
    Criterion,
    choose_thresholds,
    f_beta,
    sensitivity,
    sensitivity_at,
    specificity,
)

_RIDGE = 1e-3
"""Keeps slope and intercepts of a softmax finite where it tells classes apart without error."""


LIKELIEST = "the likeliest class is called; thresholds decide nothing"
"""Rule of a classifier of exactly one class."""


class Classes(NamedTuple):
    """Classes of a model, and what it has of each."""

    names: tuple[str, ...]
    """In the order of its logits."""
    multi_label: bool
    """True where a recording may have several."""
    calibration: tuple[ClassCalibration, ...]
    """Present calibration of each."""
    thresholds: Float[np.ndarray, " classes"]
    """Present thresholds; infinity for a class that is never called."""
    fitted: Bool[np.ndarray, " classes"]
    """True for those with enough patients to be fitted."""
    isotonic: Bool[np.ndarray, " classes"]
    """True for those that get a curve."""


class Fit(NamedTuple):
    """Calibration and threshold of each class."""

    calibration: tuple[ClassCalibration, ...]
    """In the order of the classes."""
    thresholds: Float[np.ndarray, " classes"]
    """Infinity for a class that is never called."""
    problems: dict[str, str]
    """Classes that stayed as they were although they have enough patients, and why."""


def patients_on_each_side(
    labels: Bool[np.ndarray, "records classes"], patients: Sequence[str]
) -> np.ndarray:
    """Return the patients with and without each class in some recording, int64 (2, classes)."""
    names = np.asarray(patients)
    return np.array(
        [
            [len(np.unique(names[side[:, column]])) for column in range(labels.shape[1])]
            for side in (labels, ~labels)
        ]
    )


def takes_curve(fewer: np.ndarray, method: Method, min_isotonic: int) -> np.ndarray:
    """Tell the classes that get a curve, by the fewer patients of their two sides."""
    if method == "auto":
        return fewer >= min_isotonic
    return np.full(len(fewer), method == "isotonic")


def criterion_of(settings: RecalibrateSettings) -> Criterion:
    """Return the aim of the thresholds."""
    if settings.rule == "specificity":
        return sensitivity_at(settings.min_specificity)
    if settings.rule == "youden":
        return lambda counts: sensitivity(counts) + specificity(counts)
    return f_beta


def rule_of(settings: RecalibrateSettings) -> str:
    """Return the rule of the thresholds in words."""
    aims = {
        "f1": "highest F1",
        "youden": "highest sum of sensitivity and specificity",
        "specificity": f"highest sensitivity at a specificity of {settings.min_specificity:g}",
    }
    return f"{aims[settings.rule]} on the local recordings of the recalibration"


def fit(
    logits: Float[np.ndarray, "records classes"],
    labels: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    classes: Classes,
    criterion: Criterion,
) -> Fit:
    """Fit calibration and threshold of the classes that have enough patients."""
    parts, problems = list(classes.calibration), dict[str, str]()
    if not classes.multi_label:
        parts = _softmax_parts(logits, labels, classes.fitted)
    for column in np.flatnonzero(classes.fitted & classes.multi_label):
        of_class = logits[:, column], labels[:, column]
        part = _isotonic(*of_class) if classes.isotonic[column] else _platt(*of_class)
        if part is None:
            problems[classes.names[column]] = "its logits are no higher where it is present"
        else:
            parts[column] = part
    found = probabilities(logits, multi_label=classes.multi_label, calibration=parts)
    chosen = choose_thresholds(
        labels, found, patients, classes=classes.names, criterion=criterion
    ).values
    has_new = classes.fitted & ~np.isin(classes.names, list(problems)) & ~np.isnan(chosen)
    return Fit(tuple(parts), np.where(has_new, chosen, classes.thresholds), problems)


def _platt(logit: np.ndarray, positive: np.ndarray) -> ClassCalibration | None:
    """Return slope and intercept; None where the slope is not positive."""
    have = positive.sum()
    target = np.where(positive, (have + 1) / (have + 2), 1 / (len(positive) - have + 2))
    middle, spread = logit.mean(), logit.std() or 1.0
    scaled = (logit - middle) / spread

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        value = line[0] * scaled + line[1]
        excess = expit(value) - target
        total = (np.logaddexp(0, value) - target * value).mean()
        return float(total), np.array([excess @ scaled, excess.sum()]) / len(scaled)

    slope, intercept = minimize(loss, np.array([spread, middle]), jac=True, method="BFGS").x
    if slope <= 0:
        return None
    return ClassCalibration(
        slope=float(slope / spread), intercept=float(intercept - slope * middle / spread)
    )


def _isotonic(logit: np.ndarray, positive: np.ndarray) -> ClassCalibration | None:
    """Return the corners of the rising curve; None where it is flat."""
    places, number, count = np.unique(logit, return_inverse=True, return_counts=True)
    shares = np.bincount(number, weights=positive) / count
    curve = isotonic_regression(shares, weights=count).x
    if curve[0] == curve[-1]:
        return None
    least = 1 / (len(logit) + 2)
    curve = curve.clip(least, 1 - least)
    steps = np.diff(curve) > 0
    corner = np.concatenate([[True], steps]) | np.concatenate([steps, [True]])
    return ClassCalibration(
        logits=tuple(places[corner].tolist()), probabilities=tuple(curve[corner].tolist())
    )


def _softmax_parts(
    logits: np.ndarray, labels: np.ndarray, fitted: np.ndarray
) -> list[ClassCalibration]:
    """Return one slope for all, and an intercept for each class that is fitted."""

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        slope, intercepts = np.exp(values[0]), np.zeros(len(fitted))
        intercepts[fitted] = values[1:]
        scaled = slope * logits + intercepts
        excess = np.exp(scaled - logsumexp(scaled, axis=1, keepdims=True)) - labels
        total = (logsumexp(scaled, axis=1) - scaled[labels]).mean()
        gradient = [slope * (excess * logits).sum(), *excess.sum(axis=0)[fitted]]
        return (
            float(total + _RIDGE * values @ values),
            np.array(gradient) / len(logits) + 2 * _RIDGE * values,
        )

    found = minimize(loss, np.zeros(1 + fitted.sum()), jac=True, method="BFGS").x
    intercepts = np.zeros(len(fitted))
    intercepts[fitted] = found[1:]
    slope = float(np.exp(found[0]))
    return [ClassCalibration(slope=slope, intercept=value) for value in intercepts.tolist()]

"""A linear probe: how much of the diagnosis a linear model finds in frozen features.

It is the logistic regression of finetune/training/logistic_regression.py on standardised features,
whose `l2` equals 1 / (C * records) of scikit-learn's LogisticRegression. The strength of the
penalty is chosen on held-out patients.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped

from finetune.data.hold_out import HeldOut, draw_hold_out
from finetune.training.logistic_regression import LinearModel, LogisticRegression
from finetune.training.settings import L2_GRID
from lamae.errors import InputError
from lamae.statistics.metrics import class_scores, macro
from lamae.statistics.probabilities import probabilities

GRADIENT_TOLERANCE = 1e-5
"""Largest entry of the gradient of the mean loss at which a fit has converged."""

_ROUGHLY, _FINELY = 3.0, 0.1


class LinearProbe(NamedTuple):
    """A fitted linear probe, which standardises features by the training records."""

    weight: Float[np.ndarray, "classes width"]
    """Weights of the standardised features."""
    bias: Float[np.ndarray, " classes"]
    """Logit of a record whose features are all average."""
    mean: Float[np.ndarray, " width"]
    """Mean of each feature over the training records."""
    scale: Float[np.ndarray, " width"]
    """Standard deviation of each feature over the training records, 1 for a constant."""
    multi_label: bool
    """True where a record may have several classes (sigmoid), False for exactly one (softmax)."""
    l2: float
    """Strength of the penalty."""
    hold_out_auroc: dict[float, float]
    """Macro AUROC on the held-out training patients by strength; empty where it was given."""
    gradient: float
    """Largest entry of the gradient at the end; above 1e-5 the fit has not converged."""
    held_out: HeldOut | None = None
    """For thresholds and calibration, of all hold-outs; None where nothing was held out."""

    @property
    def converged(self) -> bool:
        """True where the fit ended where the loss is flat."""
        return self.gradient <= GRADIENT_TOLERANCE

    def scores(
        self, features: Shaped[np.ndarray, "records width"]
    ) -> Float[np.ndarray, "records classes"]:
        """Return the probability of each class.

        Raises InputError for features of another width or that are not finite.
        """
        _check_features(features, width=len(self.mean))
        logits = ((features - self.mean) / self.scale) @ self.weight.T + self.bias
        return probabilities(logits, multi_label=self.multi_label)


def fit_linear_probe(
    features: Shaped[np.ndarray, "records width"],
    labels: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    classes: Sequence[str],
    multi_label: bool,
    generator: np.random.Generator,
    l2_grid: Sequence[float] = L2_GRID,
    hold_outs: Sequence[Bool[np.ndarray, " records"]] | None = None,
) -> LinearProbe:
    """Fit a linear probe by full-batch L-BFGS and choose its penalty on held-out patients.

    Args:
        features: embeddings of the training records, any float type and unit.
        labels: True where a record is positive for a class.
        patients: the patient of each record; a patient is never on both sides of the hold-out.
        classes: names of the columns of `labels`.
        multi_label: False where each record has exactly one class.
        generator: draws the held-out patients; nothing else is random.
        l2_grid: strengths to choose from; with a single one nothing is held out.
        hold_outs: True for the records held out, once or several times as in inner folds, which
            share none; macro AUROC is then the mean over these. By default one is drawn.

    Of strengths with equal macro AUROC the strongest wins. The chosen one is fitted again on all
    records, starting from the fit without the held-out patients.

    Raises InputError for features that are not finite, a class without a positive or without a
    negative record, records without exactly one class where there must be one, and too few
    patients to hold some out.
    """
    _check_features(features, width=features.shape[1])
    _check_labels(features, labels, classes, multi_label=multi_label)
    strengths = _descending(l2_grid)
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean
    scale = np.sqrt(np.einsum("rw,rw->w", centred, centred) / len(centred))
    scale[scale <= np.finfo(np.float32).eps * np.abs(mean)] = 1.0
    standardised = torch.from_numpy((centred / scale).astype(np.float32))
    regression = LogisticRegression(standardised, labels, multi_label=multi_label)
    model: LinearModel | None = None
    held_out: HeldOut | None = None
    hold_out_auroc: dict[float, float] = {}
    l2 = strengths[0]
    if len(strengths) > 1:
        if hold_outs is None:
            hold_outs = [draw_hold_out(labels, patients, generator=generator)]
        tried = [
            _try_strengths(regression, labels, records, strengths, multi_label=multi_label)
            for records in hold_outs
        ]
        hold_out_auroc = {s: float(np.mean([found[s] for _, found in tried])) for s in strengths}
        l2 = max(hold_out_auroc, key=lambda strength: hold_out_auroc[strength])
        chosen = [models[l2] for models, _ in tried]
        held_out = _held_out(regression, chosen, hold_outs, multi_label=multi_label)
        model = chosen[0]
    model = regression.fit(l2=l2, start=model, tolerance=_FINELY * GRADIENT_TOLERANCE)
    return LinearProbe(
        model.weight.numpy(),
        model.bias.numpy(),
        mean,
        scale,
        multi_label,
        l2,
        hold_out_auroc,
        model.gradient,
        held_out,
    )


def _try_strengths(
    regression: LogisticRegression,
    labels: np.ndarray,
    held_out: np.ndarray,
    strengths: Sequence[float],
    *,
    multi_label: bool,
) -> tuple[dict[float, LinearModel], dict[float, float]]:
    """Fit without the held-out records, and score on them, which needs no more than a rough fit."""
    models: dict[float, LinearModel] = {}
    aurocs: dict[float, float] = {}
    model = None
    for l2 in strengths:
        model = regression.fit(
            l2=l2, records=~held_out, start=model, tolerance=_ROUGHLY * GRADIENT_TOLERANCE
        )
        models[l2] = model
        ranking = probabilities(regression.logits(model, held_out), multi_label=multi_label)
        aurocs[l2] = float(macro(class_scores(labels[held_out], ranking).auroc))
    return models, aurocs


def _held_out(
    regression: LogisticRegression,
    models: Sequence[LinearModel],
    hold_outs: Sequence[np.ndarray],
    *,
    multi_label: bool,
) -> HeldOut:
    """Join the predictions of each fit for the records that were held out of it."""
    whole = np.full((len(hold_outs[0]), len(models[0].bias)), np.nan)
    for model, records in zip(models, hold_outs, strict=True):
        whole[records] = probabilities(regression.logits(model, records), multi_label=multi_label)
    records = np.any(hold_outs, axis=0)
    return HeldOut(records, whole[records])


def _descending(l2_grid: Sequence[float]) -> list[float]:
    strengths = sorted({float(l2) for l2 in l2_grid}, reverse=True)
    if not strengths or not all(0 < l2 < np.inf for l2 in strengths):
        raise InputError(
            "l2_grid",
            value=list(l2_grid),
            expected="one or more finite numbers above 0",
            remedy=f"The default is {list(L2_GRID)}.",
        )
    return strengths


def _check_features(features: np.ndarray, *, width: int) -> None:
    if features.shape[1] != width:
        raise InputError(
            "features",
            value=f"width {features.shape[1]}",
            expected=f"width {width}",
            remedy="Use features of the encoder on which the probe was fitted.",
        )
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise InputError(
            "features",
            value=f"NaN or infinite in {int((~finite).sum())} records, first {finite.argmin()}",
            expected="finite numbers",
            remedy="Find out why the encoder gives them, or leave those records out.",
        )


def _check_labels(
    features: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, multi_label: bool
) -> None:
    if labels.shape != (len(features), len(classes)) or labels.size == 0:
        raise InputError(
            "labels",
            value=labels.shape,
            expected=f"{len(features)} records and {len(classes)} named classes, none of them 0",
            remedy="Give one row per record and one name per column.",
        )
    positives = labels.sum(axis=0)
    for wanted, number in (("positive", positives), ("negative", len(labels) - positives)):
        missing = [name for name, found in zip(classes, number, strict=True) if found == 0]
        if missing:
            raise InputError(
                f"class {', '.join(missing)}",
                value=f"no {wanted} record in training",
                expected="at least one positive and one negative record of each class",
                remedy="Leave the class out, or give training records that tell it apart.",
            )
    if not multi_label and (labels.sum(axis=1) != 1).any():
        record = int((labels.sum(axis=1) != 1).argmax())
        raise InputError(
            "labels",
            value=f"{int(labels[record].sum())} classes in record {record}",
            expected="exactly one class in each record",
            remedy="Set multi_label where a record may have several classes or none.",
        )

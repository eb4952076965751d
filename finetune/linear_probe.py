"""A linear probe: how much of the diagnosis a straight line finds in frozen features.

The loss is the mean over records of the cross-entropy (summed over classes where a record may
have several) plus l2 / 2 times the squared weights; the biases are free. `l2` therefore equals
1 / (C * records) of scikit-learn's LogisticRegression on standardised features.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from scipy.special import expit, softmax
from torch import Tensor

from lamae.errors import InputError
from lamae.metrics import class_scores, defined_classes, macro
from lamae.resampling import stratify_patients

L2_GRID = (10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Strengths that span a few hundred to tens of thousands of training records."""

HOLD_OUT = 0.15
"""Share of the training patients on which the strength of the penalty is chosen."""

GRADIENT_TOLERANCE = 1e-5
"""Largest entry of the gradient of the mean loss at which a fit has converged."""

_MOST_ITERATIONS = 300
_MOST_DRAWS = 100


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
    """Whether a record may have several classes (sigmoid) or has exactly one (softmax)."""
    l2: float
    """Strength of the penalty."""
    hold_out_auroc: dict[float, float]
    """Macro AUROC on the held-out training patients by strength; empty where it was given."""
    gradient: float
    """Largest entry of the gradient at the end; above 1e-5 the fit has not converged."""

    @property
    def converged(self) -> bool:
        """Whether the fit ended where the loss is flat."""
        return self.gradient <= GRADIENT_TOLERANCE

    def scores(
        self, features: Shaped[np.ndarray, "records width"]
    ) -> Float[np.ndarray, "records classes"]:
        """Return the probability of each class.

        Raises InputError for features of another width or that are not finite.
        """
        _check_features(features, width=len(self.mean))
        logits = ((features - self.mean) / self.scale) @ self.weight.T + self.bias
        return expit(logits) if self.multi_label else softmax(logits, axis=1)


class _Line(NamedTuple):
    weight: Tensor
    bias: Tensor
    gradient: float


def fit_linear_probe(
    features: Shaped[np.ndarray, "records width"],
    labels: Bool[np.ndarray, "records classes"],
    patients: Sequence[str],
    *,
    classes: Sequence[str],
    multi_label: bool,
    generator: np.random.Generator,
    l2_grid: Sequence[float] = L2_GRID,
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

    Of strengths with equal macro AUROC the strongest wins. The chosen one is fitted again on all
    records, starting from the fit without the held-out patients.

    Raises InputError for features that are not finite, a class without a positive or without a
    negative record, records without exactly one class where there must be one, and too few
    patients to hold some out.
    """
    _check_features(features, width=features.shape[1])
    _check_labels(features, labels, classes, multi_label=multi_label)
    strengths = _descending(l2_grid)
    values = features.astype(np.float64)
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale[scale <= np.finfo(np.float32).eps * np.abs(mean)] = 1.0
    standardised = torch.from_numpy((values - mean) / scale)
    line: _Line | None = None
    hold_out_auroc: dict[float, float] = {}
    l2 = strengths[0]
    if len(strengths) > 1:
        held_out = _draw_hold_out(labels, patients, generator)
        lines, hold_out_auroc = _try_strengths(
            standardised, labels, held_out, strengths, multi_label=multi_label
        )
        l2 = max(hold_out_auroc, key=lambda strength: hold_out_auroc[strength])
        line = lines[l2]
    line = _fit(standardised, labels, l2=l2, multi_label=multi_label, start=line)
    return LinearProbe(
        line.weight.numpy(),
        line.bias.numpy(),
        mean,
        scale,
        multi_label,
        l2,
        hold_out_auroc,
        line.gradient,
    )


def _try_strengths(
    features: Tensor,
    labels: np.ndarray,
    held_out: np.ndarray,
    strengths: Sequence[float],
    *,
    multi_label: bool,
) -> tuple[dict[float, _Line], dict[float, float]]:
    kept_features, held_out_features = features[~held_out], features[held_out]
    lines: dict[float, _Line] = {}
    aurocs: dict[float, float] = {}
    line = None
    for l2 in strengths:
        line = _fit(kept_features, labels[~held_out], l2=l2, multi_label=multi_label, start=line)
        logits = F.linear(held_out_features, line.weight, line.bias)
        ranking = logits if multi_label else logits.softmax(dim=1)
        lines[l2] = line
        aurocs[l2] = float(macro(class_scores(labels[held_out], ranking.numpy()).auroc))
    return lines, aurocs


def _fit(
    features: Tensor, labels: np.ndarray, *, l2: float, multi_label: bool, start: _Line | None
) -> _Line:
    target = torch.from_numpy(labels.astype(np.float64))
    if start is None:
        start = _Line(
            torch.zeros(labels.shape[1], features.shape[1], dtype=torch.float64),
            torch.zeros(labels.shape[1], dtype=torch.float64),
            0.0,
        )
    weight = start.weight.clone().requires_grad_()
    bias = start.bias.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_MOST_ITERATIONS,
        max_eval=2 * _MOST_ITERATIONS,
        history_size=20,
        tolerance_grad=GRADIENT_TOLERANCE,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def evaluate() -> Tensor:
        optimiser.zero_grad()
        logits = F.linear(features, weight, bias)
        if multi_label:
            data_loss = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        else:
            data_loss = F.cross_entropy(logits, target, reduction="sum")
        loss = data_loss / len(features) + l2 / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(evaluate)
    evaluate()
    gradient = max(float(p.grad.abs().max()) for p in (weight, bias) if p.grad is not None)
    return _Line(weight.detach(), bias.detach(), gradient)


def _draw_hold_out(
    labels: np.ndarray, patients: Sequence[str], generator: np.random.Generator
) -> Bool[np.ndarray, " records"]:
    """Hold out a share of the patients, evenly over strata, so that both sides can be scored."""
    strata = stratify_patients(labels, patients)
    for _ in range(_MOST_DRAWS):
        held_out = _draw_patients(strata.stratum, generator)[strata.patient]
        both_sides = held_out.any() and defined_classes(labels[held_out]).any()
        if both_sides and defined_classes(labels[~held_out]).all():
            return held_out
    raise InputError(
        "training patients",
        value=f"{len(strata.stratum)} with {len(labels)} records",
        expected=f"enough to hold out {HOLD_OUT:.0%} and keep every class in the rest",
        remedy="Give a single strength of the penalty as l2_grid; then nothing is held out.",
    )


def _draw_patients(
    stratum: np.ndarray, generator: np.random.Generator
) -> Bool[np.ndarray, " patients"]:
    """Return True for every patient at which the running share passes a whole number.

    Patients come by stratum and at random within it, so a stratum of n gives n times the share,
    rounded up or down; the only patient of a stratum is never drawn.
    """
    order = generator.permutation(len(stratum))
    order = order[np.argsort(stratum[order], kind="stable")]
    sizes = np.bincount(stratum)
    order = order[sizes[stratum[order]] > 1]
    passed = np.floor(np.arange(len(order) + 1) * HOLD_OUT + generator.random())
    drawn = np.zeros(len(stratum), dtype=bool)
    drawn[order] = np.diff(passed) > 0
    return drawn


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

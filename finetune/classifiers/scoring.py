"""Predictions for recordings: logits averaged over windows, then probabilities."""

from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Int

from finetune.classifiers.classifier import Classifier
from finetune.data.windows import LoaderOptions, average_over_windows
from lamae.batches.dataset import Batch, Split
from lamae.statistics.probabilities import probabilities


class Scored(NamedTuple):
    """Predictions for those recordings of a split that could be used."""

    positions: Int[np.ndarray, " recordings"]
    """Their positions in the split, rising."""
    probabilities: Float[np.ndarray, "recordings classes"]
    """Of each class, from the mean of the logits over windows."""
    lead_weights: Float[np.ndarray, "recordings l"] | None
    """Mean importance of each lead; None where the classifier knows none."""
    gate: Float[np.ndarray, " recordings"] | None
    """Mean share of the encoder in a hybrid; None for all others."""
    unusable: dict[str, str]
    """Reason by key of the others."""


def score_recordings(
    classifier: Classifier,
    data: Split,
    reading: LoaderOptions,
    *,
    accelerator: Accelerator,
    name: str | None = None,
) -> Scored:
    """Score all recordings of a split, on every process; `name` is for a progress bar.

    The classifier is left in the mode that it was in.
    """
    architecture, model = classifier.architecture, classifier.model
    classes, leads = len(architecture.classes), len(architecture.preprocess.leads)

    def compute(batch: Batch) -> np.ndarray:
        with torch.inference_mode(), accelerator.autocast():
            found = classifier.outputs(batch, accelerator.device)
        unknown = found.logits.new_full((len(found.logits), leads + 1), torch.nan)
        weights = unknown[:, :leads] if found.lead_weights is None else found.lead_weights
        gate = unknown[:, -1:] if found.gate is None else found.gate.mean(dim=1, keepdim=True)
        parts = [found.logits, weights, gate]
        return torch.cat([part.float() for part in parts], dim=1).cpu().numpy()

    was_training = model.training
    model.to(accelerator.device).eval()
    try:
        averaged = average_over_windows(
            data,
            compute,
            reading,
            accelerator=accelerator,
            name=name,
        )
    finally:
        model.train(was_training)
    values = averaged.values.reshape(-1, classes + leads + 1).astype(np.float64)
    logits, lead_weights, gate = np.split(values, [classes, classes + leads], axis=1)
    return Scored(
        averaged.positions,
        probabilities(
            logits,
            multi_label=architecture.multi_label,
            calibration=architecture.calibration,
        ),
        None if np.isnan(lead_weights).all() else lead_weights,
        None if np.isnan(gate).all() else gate[:, 0],
        averaged.unusable,
    )


def called_positive(
    probabilities: Float[np.ndarray, "recordings classes"],
    thresholds: Float[np.ndarray, " classes"],
    *,
    multi_label: bool,
    exclusive: Bool[np.ndarray, " classes"] | None = None,
) -> Bool[np.ndarray, "recordings classes"]:
    """Return the classes at or above their thresholds, or the likeliest where there is one.

    `exclusive` is True for classes that exclude all others, such as normal: of those that are
    called with others the likeliest stays if it is likelier than each of them, and else none.
    """
    if not multi_label:
        return np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None]
    called = probabilities >= np.where(np.isnan(thresholds), np.inf, thresholds)
    if exclusive is None or not exclusive.any():
        return called
    likeliest = np.where(called, probabilities, -1.0).argmax(axis=1)
    is_alone = exclusive[likeliest] & called.any(axis=1)
    only = np.arange(called.shape[1]) == likeliest[:, None]
    return np.where(is_alone[:, None], only, called & ~exclusive)

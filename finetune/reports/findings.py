"""Findings of a run, in sentences and in the parts of its summary."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from finetune.evaluation.ranking_measures import DIFFERENCES
from finetune.experiment.train_and_score import CandidateResult, ExperimentResults
from finetune.reports.page import interval_of
from finetune.settings import FinetuneSettings
from finetune.training.linear_probe import GRADIENT_TOLERANCE

MODES = {
    "probe": "the linear probe",
    "attention_probe": "the attention probe",
    "full": "the fine-tuned encoder",
    "probe_then_full": "the encoder fine-tuned from its probe",
    "lasan": "LASAN",
    "hybrid": "the hybrid of encoder and LASAN",
    "cnn_attention_bilstm": "the CNN-Attention-BiLSTM",
    "hierarchical_transformer": "the hierarchical transformer",
}
"""Name of the classifier of each mode in a sentence."""

_BASELINES = {
    "random": "The same with the encoder at random weights",
    "supervised": "The CNN-Attention-BiLSTM trained on the same recordings but those held out to "
    "choose its epoch, which a probe is fitted to in the end",
}


def counts(results: ExperimentResults) -> dict[str, dict[str, Any]]:
    """Return recordings, patients and recordings left out, by split."""
    parts = {"train": results.task.train, "evaluation": results.task.evaluation}
    return {
        name: {
            "records": len(part.rows),
            "patients": len(np.unique(part.patients)),
            "unlabelled": part.unlabelled,
            "without_class": part.without_class,
            "several_classes": part.several_classes,
            "unusable": {reason: len(keys) for reason, keys in results.unusable[name].items()},
        }
        for name, part in parts.items()
    }


def mean_lead_weights(results: ExperimentResults, leads: Sequence[str]) -> dict[str, Any]:
    """Return, of the classifier in question, mean `lead_weights` and `gate` by class.

    The means are over the evaluation records that have the class; both are absent from the result
    where the classifier has none.
    """
    own = next(iter(results.by_candidate.values()))
    labels = results.task.evaluation.labels
    of_class = {
        name: labels[:, number]
        for number, name in enumerate(results.task.classes)
        if labels[:, number].any()
    }
    found: dict[str, Any] = {}
    if own.lead_weights is not None:
        means = {n: own.lead_weights[has].mean(axis=0).tolist() for n, has in of_class.items()}
        found["lead_weights"] = {
            n: dict(zip(leads, mean, strict=True)) for n, mean in means.items()
        }
    if own.gate is not None:
        found["gate"] = {name: float(own.gate[has].mean()) for name, has in of_class.items()}
    return found


def sentences(summary: Mapping[str, Any], settings: FinetuneSettings) -> list[str]:
    """Say what was found, the most important first."""

    def written(key: str) -> str:
        return str(interval_of(summary[key]))

    found = [
        f"Macro AUROC of {MODES[settings.mode]} on {settings.label_set} "
        f"({settings.eval_split} split): {written('auroc_macro')}."
    ]
    for baseline, difference in DIFFERENCES.items():
        if f"auroc_macro_{baseline}" in summary:
            found.append(
                f"{_BASELINES[baseline]}: {written(f'auroc_macro_{baseline}')}; "
                f"paired difference {written(f'auroc_macro{difference}')}."
            )
        elif baseline in settings.compared_with:
            found.append(
                f"Not compared with {baseline} weights: this encoder is a file that holds its "
                "weights together with the network, so that none can be drawn for it."
            )
    left_out = summary["classes_left_out"]
    if left_out:
        found.append(f"Classes that no mean holds, for want of recordings: {', '.join(left_out)}.")
    return found


def doubts(by_candidate: Mapping[str, CandidateResult]) -> list[str]:
    """Name what may still move: a probe that has not converged, a training that ended too early."""
    found = []
    for name, result in by_candidate.items():
        gradient, epochs = result.facts.get("gradient", 0.0), result.facts.get("epochs", [])
        if gradient > GRADIENT_TOLERANCE:
            found.append(
                f"The fit of the linear probe on the encoder {name!r} did not converge: its "
                f"gradient is {gradient:.1e}, above {GRADIENT_TOLERANCE:.0e}."
            )
        if epochs and result.facts["best_epoch"] == epochs[-1]["epoch"]:
            found.append(
                f"The training of {name!r} was best in its last epoch, {epochs[-1]['epoch']}: more "
                "may help it."
            )
    return found

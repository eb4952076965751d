"""Findings of a run, in sentences and in the parts of its summary."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from finetune.evaluation.ranking_measures import DIFFERENCES, FREQUENT
from finetune.experiment.candidate_results import CandidateResult, ExperimentResults
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

_NAMED = 6
_BASELINES = {
    "random": "The same with the encoder at random weights",
    "kernels": "A probe of fixed kernels and amplitudes, for which nothing was trained",
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
    few, number = summary.get("classes_of_few_patients", []), len(summary["per_class"])
    mean = f"auroc{FREQUENT}" if f"auroc{FREQUENT}" in summary else "auroc_macro"

    def written(key: str) -> str:
        return str(interval_of(summary[key]))

    over = f", mean of {number - len(few)} of {number} classes" if mean != "auroc_macro" else ""
    found = [
        f"Macro AUROC of {MODES[settings.mode]} on {settings.label_set} "
        f"({settings.eval_split} split{over}): {written(mean)}."
    ]
    for baseline, difference in DIFFERENCES.items():
        if f"{mean}_{baseline}" in summary:
            found.append(
                f"{_BASELINES[baseline]}: {written(f'{mean}_{baseline}')}; "
                f"paired difference {written(f'{mean}{difference}')}."
            )
        elif baseline in settings.compared_with:
            found.append(
                f"Not compared with {baseline} weights: this encoder is a file that holds its "
                "weights together with the network, so that none can be drawn for it."
            )
    if f"{mean}_added" in summary:
        found.append(
            f"Those and the encoder's together: {written(f'{mean}_kernels_and_encoder')}; "
            f"the encoder adds {written(f'{mean}_added')}."
        )
    if few:
        found.append(_few_sentence(few, written("auroc_macro"), settings, mean))
    left_out = summary["classes_left_out"]
    if left_out:
        found.append(f"Classes that no mean holds, for want of recordings: {', '.join(left_out)}.")
    return found


def _few_sentence(few: Sequence[str], of_all: str, settings: FinetuneSettings, mean: str) -> str:
    named = ", ".join(few[:_NAMED]) + (f" and {len(few) - _NAMED} more" * (len(few) > _NAMED))
    bound = f"Fewer than {settings.min_positive_patients} patients have, or lack"
    if mean == "auroc_macro":
        return f"{bound}, any of the classes: read the mean beside the tables."
    every = f"With these, over all classes, the mean is {of_all}, by resampling alone."
    return f"{bound}: {named}. {every}"


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

"""The part of a description that follows from the other files of its folder.

It is never typed: a release derives it from config.json, results.json and the golden vectors, and
`check` derives it again.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lamae.config import read_settings
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.files import read_json
from lamae.release.distribution import (
    UNLIKE_PERCENT,
    TrainingDistribution,
    open_distribution,
)
from lamae.release.golden import read_golden
from lamae.release.recalibration import RECALIBRATION, recalibration_of
from lamae.runs.run_folder import CONFIG

RESULTS = "results.json"
"""Summaries of the runs that trained and evaluated the model, as they were written but for traces:
`evaluation`, of an encoder `pretraining`, and `shards`, the checksum of each manifest by name."""

_SECTIONS = {"architecture": "classifier", "detector": "detector", "model": "encoder"}
"""Section of config.json that tells a kind."""
_METRICS = ("auroc", "auprc")
_LIKELIEST = "the likeliest class is called; thresholds decide nothing"
_HIGHEST_F1 = "highest F1 on patients held out of the training split"
_PROTOCOLS = {"probe": "linear probe", "attention_probe": "attention probe"}


class Parts(NamedTuple):
    """The documents that a description is derived from."""

    config: Mapping[str, Any]
    """config.json."""
    results: Mapping[str, Any]
    """results.json."""
    embedding_width: int | None
    """Of the golden vectors."""
    distribution: Mapping[str, Any] | None
    """Size of the distribution of embeddings, where there is one."""

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """Summary of the run that evaluated the model."""
        return self.results["evaluation"]


def kind_of_config(config: Mapping[str, Any]) -> str:
    """Return the kind of model that a configuration is of; raises InputError for another."""
    for section, kind in _SECTIONS.items():
        if section in config:
            return kind
    raise InputError(
        f"configuration {CONFIG}",
        value=f"sections {', '.join(config)}",
        expected=f"one of {', '.join(_SECTIONS)}",
        remedy="Give the folder of an encoder, a classifier or a detector, or its run.",
    )


def read_parts(folder: Path) -> Parts:
    """Read the documents of a release; raises InputError where one is missing or damaged."""
    golden = read_golden(folder)
    config, results = read_json(folder / CONFIG), read_json(folder / RESULTS)
    return Parts(config, results, golden.embedding_width, _distribution(open_distribution(folder)))


def _distribution(found: TrainingDistribution | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "recordings": len(found.distances),
        "directions": len(found.directions),
        "percentile": UNLIKE_PERCENT,
    }


def derive(parts: Parts, words: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the derived fields of release.json.

    `words` has the description and the codes of each class, which no other file states.
    Raises InputError where results and configuration are not of one model.
    """
    kind = kind_of_config(parts.config)
    try:
        return {
            "kind": kind,
            "input": _input(parts.config, kind),
            "output": _OUTPUTS[kind](parts, words)
            | {"embedding_width": parts.embedding_width, "distribution": parts.distribution},
            "trained_on": list(_trained_on(parts, kind)),
            "training": _training(parts, kind),
            "results": list(_results(parts, kind)),
            "recalibration": recalibration_of(parts.config),
        }
    except (KeyError, TypeError) as error:
        raise InputError(
            f"results of a {kind}, {RESULTS}",
            value=f"no {error}",
            expected="the summary.json of the finished run that made or evaluated it",
            remedy="Give results=<run>.",
        ) from None


def _input(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    section = config if kind == "encoder" else config[_section(kind)]
    reads = read_settings(Preprocessor, section["preprocess"])
    about = config.get("about", {}).get("settings", {})
    least = 1 if kind == "encoder" else about.get("min_leads") or len(reads.leads)
    return {
        "leads": reads.leads,
        "min_leads": min(least, len(reads.leads)),
        "sampling_rate": reads.sampling_rate,
        "window_s": reads.duration_s,
        "unit": "mV",
        "band_hz": reads.band_hz,
        "normalisation": reads.normalisation,
    }


def _section(kind: str) -> str:
    return next(section for section, of in _SECTIONS.items() if of == kind)


def _of_encoder(_: Parts, __: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _of_classifier(parts: Parts, words: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    config, evaluation = parts.config, parts.evaluation
    architecture, fitted = config["architecture"], config["about"].get(RECALIBRATION)
    counts = evaluation["counts"]["evaluation"]
    classes = []
    for name in architecture["classes"]:
        found = evaluation["per_class"].get(name, {})
        at_threshold = found if fitted is None else _after(fitted["classes"].get(name, {}))
        positives = found.get("positives")
        classes.append(
            {
                "description": "",
                **words.get(name, {}),
                "name": name,
                "threshold": config["thresholds"].get(name),
                "sensitivity": at_threshold.get("sensitivity"),
                "specificity": at_threshold.get("specificity"),
                "auroc": found.get("auroc"),
                "prevalence": None if positives is None else positives / counts["records"],
            }
        )
    multi_label = bool(architecture["multi_label"])
    rule = _HIGHEST_F1 if multi_label else _LIKELIEST
    method, error = "none", evaluation.get("calibration_error_macro")
    if fitted is not None:
        rule, method, error = fitted["threshold_rule"], _methods(fitted["classes"]), None
    return {
        "classes": classes,
        "multi_label": multi_label,
        "threshold_rule": rule,
        "calibration": {"method": method, "error": error},
    }


def _after(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measures of a class after its recalibration, on held-out local patients."""
    return {name: one["after"] for name, one in measured.items() if isinstance(one, Mapping)}


def _methods(classes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return by which method classes were recalibrated: one for all, or each with its classes."""
    by_method: dict[str, list[str]] = {}
    for name, one in classes.items():
        by_method.setdefault(one["method"], []).append(name)
    if len(by_method) == 1:
        return next(iter(by_method))
    return "; ".join(f"{method} ({', '.join(names)})" for method, names in by_method.items())


def _of_detector(parts: Parts, _: Mapping[str, Any]) -> dict[str, Any]:
    decision, evaluation = parts.config["decision"], parts.evaluation
    rule = evaluation["rule"]
    decided = evaluation["deciding"][rule]
    score = {
        **decision,
        "name": decision["score"],
        "sensitivity": decided["sensitivity"],
        "specificity": decided["specificity"],
        "auroc": evaluation["ranking"][decision["score"]]["auroc"],
    }
    del score["score"]
    return {"score": score, "threshold_rule": f"{rule}, on patients held out of training"}


_OUTPUTS = {"encoder": _of_encoder, "classifier": _of_classifier, "detector": _of_detector}


def _trained_on(parts: Parts, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the recordings of each stage of training that the results know."""
    pretraining, evaluation = parts.results.get("pretraining"), parts.evaluation
    if pretraining:
        yield _stage(parts, pretraining, "pretraining", {"records": pretraining["counts"]["train"]})
    if kind == "classifier":
        yield _stage(parts, evaluation, "training", evaluation["counts"]["train"])
    if kind == "detector":
        yield _stage(parts, evaluation, "normal recordings", evaluation["counts"]["training"])


def _stage(
    parts: Parts, summary: Mapping[str, Any], use: str, counts: Mapping[str, Any]
) -> dict[str, Any]:
    name = str(summary["config"]["data"])
    return {
        "corpus": name,
        "use": use,
        "recordings": counts["records"] if "records" in counts else counts["recordings"],
        "patients": counts.get("patients"),
        "sha256": parts.results.get("shards", {}).get(name),
    }


def _training(parts: Parts, kind: str) -> dict[str, str | int | float]:
    summary = parts.results["pretraining"] if kind == "encoder" else parts.evaluation
    seconds = summary["seconds"]
    seconds = seconds["training"] if isinstance(seconds, Mapping) else seconds
    told = ("steps", "epochs", "device", "processes", "threads")
    software = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    return {
        "command": summary["command"],
        "parameters": _parameters(summary, kind),
        "seed": summary["seed"],
        **{name: summary[name] for name in told if name in summary},
        "seconds": round(seconds, 1),
        "software": software,
    }


def _parameters(summary: Mapping[str, Any], kind: str) -> int:
    if kind == "detector":
        return int(summary["parameters"])
    if kind == "encoder":
        return int(summary["parameters"]["encoder"])
    return int(_candidates(summary)[summary["model"]]["parameters"])


def _candidates(summary: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return facts on each candidate; `contenders` is their name in version 0.1."""
    return summary.get("candidates") or summary["contenders"]


def _results(parts: Parts, kind: str) -> Iterator[dict[str, Any]]:
    evaluation = parts.evaluation
    config, counts = evaluation["config"], evaluation["counts"]["evaluation"]
    split = f"split {config['eval_split']}"
    facts = {
        "recordings": counts["records"] if "records" in counts else counts["recordings"],
        "patients": counts.get("patients"),
    }
    if kind == "detector":
        facts |= {"task": f"{config['label_set']}: abnormal against {config['normal_class']}"}
        facts |= {"protocol": f"learnt from normal recordings, {split}"}
        for score, measured in evaluation["ranking"].items():
            for metric in _METRICS:
                yield facts | {"candidate": score, "metric": metric, "value": measured[metric]}
        return
    mode = _PROTOCOLS.get(config["mode"], config["mode"])
    facts |= {"task": config["label_set"], "protocol": f"{mode}, {split}"}
    own = evaluation["model"]
    for candidate in _candidates(evaluation):
        for metric in _METRICS:
            name = f"{metric}_macro" if candidate == own else f"{metric}_macro_{candidate}"
            yield facts | {"candidate": candidate, "metric": metric, "value": evaluation[name]}

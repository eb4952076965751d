"""Cohort of a run: who was learnt from and asked about, what is missing, who was left out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from finetune.data.tasks import LabelledRows
from finetune.evaluation.group_results import known_cell, number_in
from finetune.evaluation.recording_facts import group_facts, is_age
from finetune.experiment.candidate_results import ExperimentResults
from finetune.settings import FinetuneSettings
from lamae.files import read_json
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus

_PLACE = re.compile(r"site|hospital|centre|center|institution|device|scanner|date|year", re.I)
_FEW_VALUES = 6


def cohort_summary(
    corpus: Corpus, results: ExperimentResults, settings: FinetuneSettings
) -> dict[str, Any]:
    """Return, for summary.json, the cohort by split and the flow of recordings to it."""
    task = results.task
    parts = {"train": task.train, "evaluation": task.evaluation}
    return {
        "cohort": {name: _part(corpus, part, task.classes) for name, part in parts.items()},
        "flow": flow(corpus, results, settings),
    }


def flow(
    corpus: Corpus, results: ExperimentResults, settings: FinetuneSettings
) -> list[dict[str, Any]]:
    """Return the steps from the source to the recordings that were evaluated.

    A step has a name, how many recordings are left after it, and how many it took, by reason. What
    the shards' summary.json says of the source is told where there is one.
    """
    path = corpus.folder / SUMMARY
    known = read_json(path) if path.is_file() else {}
    rejects: Mapping[str, int] = known.get("rejects", {})
    written = len(corpus)
    steps: list[dict[str, Any]] = []
    if known:
        found = written + sum(rejects.values())
        steps.append({"step": "found in the source", "records": found, "taken": {}})
    steps.append({"step": "written to the shards", "records": written, "taken": dict(rejects)})
    split, part = settings.eval_split, results.task.evaluation
    in_split = len(corpus.rows(split))
    steps.append(
        {
            "step": f"in split {split}",
            "records": in_split,
            "taken": {"in other splits": written - in_split},
        }
    )
    labelled = in_split
    unusable = {reason: len(keys) for reason, keys in results.unusable["evaluation"].items()}
    taken = {
        "without a label": part.unlabelled,
        "without a class": part.without_class,
        "of several classes": part.several_classes,
    }
    evaluated = len(part.rows)
    others = labelled - sum(taken.values()) - sum(unusable.values()) - evaluated
    taken["outside of where="] = max(0, others)
    eligible = labelled - sum(taken.values())
    steps.append({"step": "eligible", "records": eligible, "taken": _positive(taken)})
    steps.append({"step": "evaluated", "records": evaluated, "taken": unusable})
    return steps


def _part(corpus: Corpus, part: LabelledRows, classes: Sequence[str]) -> dict[str, Any]:
    patients, flags = np.asarray(part.patients), corpus.flags()
    found: dict[str, Any] = {
        "records": len(part.rows),
        "patients": len(np.unique(patients)),
        "classes": {
            name: {
                "records": int(own.sum()),
                "patients": len(np.unique(patients[own])),
            }
            for name, own in zip(classes, part.labels.T, strict=True)
        },
        "flags": dict(Counter(flag for row in part.rows for flag in flags[row])),
    }
    facts = [*group_facts(corpus, None), *(f for f in corpus.facts() if _PLACE.search(f))]
    found["facts"] = {}
    for fact in dict.fromkeys(facts):
        cells = corpus.about(fact)
        found["facts"][fact] = _fact(fact, [known_cell(cells[row]) for row in part.rows])
    return found


def _fact(fact: str, cells: Sequence[str | None]) -> dict[str, Any]:
    """Return quartiles of an age, the frequent values of what else is known, and the missing."""
    given = [cell for cell in cells if cell is not None]
    missing = {"missing": len(cells) - len(given)}
    if is_age(fact):
        numbers = np.array([number_in(cell) for cell in given])
        numbers = numbers[np.isfinite(numbers)]
        quartiles = np.quantile(numbers, [0.25, 0.5, 0.75]).tolist() if len(numbers) else None
        return {"quartiles": quartiles, "missing": len(cells) - len(numbers)}
    counted = Counter(given)
    values = {
        "values": dict(counted.most_common(_FEW_VALUES)),
        "different": len(counted),
    }
    return {**values, "range": [min(given), max(given)] if given else None, **missing}


def _positive(taken: Mapping[str, int]) -> dict[str, int]:
    return {reason: number for reason, number in taken.items() if number}

"""The fits of a cross-validation, each kept as soon as its fold has been scored."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from finetune.cross_validation.nested import FitAndScore, FoldScores
from finetune.data.tasks import Task
from finetune.evaluation.operating_points import Decisions
from finetune.experiment.resume import Piece, SavedProgress

FOLDS = "folds"
"""Folder of a run with its fits until it is finished."""

_MODELS = "models"
_PROBABILITIES = "probabilities"


def keep_fits(fit_and_score: FitAndScore, progress: SavedProgress) -> FitAndScore:
    """Return what takes over the fits that were kept, and makes and keeps the others."""

    def taken_over_or_fitted(task: Task, number: int) -> Mapping[str, FoldScores]:
        name = f"fit-{number:04d}"
        kept = progress.load(name)
        if kept is not None:
            return _as_scores(kept)
        found = fit_and_score(task, number)
        arrays: dict[str, Any] = {}
        for model, scores in found.items():
            arrays[f"{model}.{_PROBABILITIES}"] = scores.probabilities
            for field, values in scores.decisions._asdict().items():
                arrays[f"{model}.{field}"] = values
        tensors = {key: torch.from_numpy(values) for key, values in arrays.items()}
        progress.save(name, tensors, {_MODELS: list(found)})
        return found

    return taken_over_or_fitted


def _as_scores(kept: Piece) -> dict[str, FoldScores]:
    def of(model: str, field: str) -> np.ndarray:
        return kept.tensors[f"{model}.{field}"].numpy()

    return {
        model: FoldScores(
            of(model, _PROBABILITIES), Decisions(*(of(model, field) for field in Decisions._fields))
        )
        for model in kept.state[_MODELS]
    }

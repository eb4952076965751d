"""Checks of a run that resumes: the same training, on the same recordings."""

import logging
from pathlib import Path
from typing import Any

from lamae.errors import InputError
from pretrain.settings import AugmentationSettings, PretrainSettings

_log = logging.getLogger(__name__)
_DECIDE_TRAINING = (
    "seed",
    "batch_size",
    "lr",
    "betas",
    "weight_decay",
    "warmup_steps",
    "clip_norm",
    "crop",
    "augmentation",
)  # not steps, which may be raised; architecture and preprocessor are checked with the weights

_BEFORE_THEY_WERE = {"crop": "first", "augmentation": AugmentationSettings().model_dump()}
"""How versions without these settings trained."""


def check_same_training(
    checkpoint: Path, before: dict[str, Any], settings: PretrainSettings
) -> None:
    """Refuse to go on with settings under which the steps already done would have been others."""
    now = settings.model_dump(mode="json")
    before = _BEFORE_THEY_WERE | before
    for key in _DECIDE_TRAINING:
        if before.get(key) != now[key]:
            raise InputError(
                f"checkpoint {checkpoint}, {key}",
                value=str(before.get(key)),
                expected=f"{now[key]}, as configured",
                remedy="Resume with the value it was made with, or use another run_dir.",
            )


def check_same_corpus(checkpoint: Path, before: str, now: str, settings: PretrainSettings) -> None:
    """Refuse to go on with shards that hold something else, by their digests."""
    if before != now:
        raise InputError(
            f"checkpoint {checkpoint}, corpus",
            value=f"shards with digest {before[:12]}",
            expected=f"{now[:12]}, of {settings.data}",
            remedy="Resume with the data it was made with, or use another run_dir.",
        )


def warn_of_another_schedule(before: dict[str, Any], settings: PretrainSettings) -> None:
    """Say so if the remaining steps follow other learning rates than those already done."""
    if before["steps"] != settings.steps:
        _log.warning(
            "steps was %d and is now %d: the steps that remain follow the learning rates of a run "
            "of the new length, those already done followed the old",
            before["steps"],
            settings.steps,
        )

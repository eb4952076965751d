"""Detectors on disk: a sealed folder with safetensors and JSON, as a classifier has."""

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from finetune.anomaly.detector.detectors import Detector
from finetune.anomaly.settings import Architecture, Over, ScoreName
from finetune.classifiers.sealed_model import fill_sealed, find_sealed
from lamae.config import Settings
from lamae.errors import InputError
from lamae.files import whole_folder
from lamae.model.checkpoint import load_weights
from lamae.runs.run_folder import CONFIG

DETECTOR_FOLDER = "detector"
"""Where a run keeps its detector."""


class Decision(Settings):
    """How the scores of windows become a call."""

    score: ScoreName
    """The score that decides."""
    over: Over
    """How the scores of its windows make that of a recording."""
    threshold: float | None
    """Lowest score that is called abnormal, by the rule of the run; None of a run that was
    interrupted before it chose one."""


class LoadedDetector(NamedTuple):
    """A detector and what it needs to be used."""

    detector: Detector
    """In evaluation mode."""
    decision: Decision
    """How it calls a recording."""
    about: dict[str, Any]
    """How it came about: `settings` of its run, and `corpus`, the digest of its shards."""


def save_detector(
    folder: Path, detector: Detector, decision: Decision, *, about: dict[str, Any]
) -> None:
    """Write the folder of a detector; it appears whole or not at all."""
    with whole_folder(folder) as partial:
        config = {
            "detector": detector.architecture.model_dump(mode="json"),
            "decision": decision.model_dump(mode="json"),
            "about": about,
        }
        fill_sealed(partial, detector, config)


def load_detector(folder: Path) -> LoadedDetector:
    """Load a detector, from its folder or from the run that made it.

    Raises InputError if there is none, it is damaged, or weights and architecture do not fit.
    """
    folder, config = find_sealed(folder, DETECTOR_FOLDER, run_of="finetune/main.py anomaly")
    try:
        architecture = Architecture.model_validate(config["detector"])
        decision = Decision.model_validate(config["decision"])
    except (ValidationError, KeyError) as error:
        raise InputError(
            f"detector {folder / CONFIG}",
            value=str(error).replace("\n", " "),
            expected="the architecture of a detector of this version of LAMAE",
            remedy="Give the folder detector/ of a run of finetune/main.py anomaly.",
        ) from None
    detector = Detector(architecture)
    load_weights(detector, folder)
    return LoadedDetector(detector.eval(), decision, config["about"])

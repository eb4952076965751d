"""Detectors on disk: a sealed folder with safetensors and JSON, as a classifier has."""

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from safetensors.torch import save_file

from finetune.anomaly.detectors import Detector
from finetune.anomaly.recordings import Over
from finetune.anomaly.settings import Architecture, ScoreName
from lamae.checkpoint import load_weights, read_json
from lamae.config import Settings
from lamae.errors import InputError
from lamae.files import whole_folder, write_json
from lamae.run_folder import CONFIG, WEIGHTS
from lamae.sealing import check_sealed, seal
from lamae.tracking import versions

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


def save_detector(
    folder: Path, detector: Detector, decision: Decision, *, about: dict[str, Any]
) -> None:
    """Write the folder of a detector; it appears whole or not at all."""
    with whole_folder(folder) as partial:
        config = {
            "detector": detector.architecture.model_dump(mode="json"),
            "decision": decision.model_dump(mode="json"),
            "about": about,
            "versions": versions(),
        }
        write_json(partial / CONFIG, config)
        weights = detector.state_dict()
        save_file({k: v.contiguous().cpu() for k, v in weights.items()}, partial / WEIGHTS)
        seal(partial)


def load_detector(folder: Path) -> LoadedDetector:
    """Load a detector, from its folder or from the run that made it.

    Raises InputError if there is none, it is damaged, or weights and architecture do not fit.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        folder = folder / DETECTOR_FOLDER
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"detector {folder.parent}",
            value=f"no {CONFIG}" if folder.parent.is_dir() else "no such folder",
            expected=f"a run of finetune/main.py anomaly, or its folder {DETECTOR_FOLDER}",
            remedy="Check detector=.",
        )
    check_sealed(folder, needs=(CONFIG, WEIGHTS))
    config = read_json(folder / CONFIG)
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
    return LoadedDetector(detector.eval(), decision)

"""Detectors on disk: a folder of safetensors and JSON, with checksums."""

from pathlib import Path
from typing import Any, NamedTuple

from finetune.anomaly.detector.detectors import Detector
from finetune.anomaly.settings import Architecture, Over, ScoreName
from finetune.classifiers.run_model import NEEDS, find_run_model, write_run_model
from lamae.config import Settings, read_settings
from lamae.files import whole_folder
from lamae.model.model_folder import load_model, read_config

DETECTOR_FOLDER = "detector"
"""Folder of a run with its detector."""


class Decision(Settings):
    """Rule by which the scores of windows become a decision on a recording."""

    score: ScoreName
    """The score that decides."""
    over: Over
    """Reduction of the scores of its windows to that of a recording."""
    threshold: float | None
    """Lowest score that is called abnormal, by the rule of the run; None of a run that was
    interrupted before it chose one."""


class LoadedDetector(NamedTuple):
    """A detector and what it needs to be used."""

    detector: Detector
    """In evaluation mode."""
    decision: Decision
    """Its decision rule."""
    about: dict[str, Any]
    """Facts on its training: `settings` of its run, and `corpus`, the digest of its shards."""


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
        write_run_model(partial, detector, config)


def load_detector(folder: Path) -> LoadedDetector:
    """Load a detector, from its folder or from the run that made it.

    Raises InputError if there is none, it is damaged, or weights and architecture do not fit.
    """
    folder = find_run_model(folder, DETECTOR_FOLDER, run_of="finetune/main.py anomaly")
    architecture, decision, about = read_config(
        folder,
        lambda config: (
            read_settings(Architecture, config["detector"]),
            read_settings(Decision, config["decision"]),
            dict(config["about"]),
        ),
        needs=NEEDS,
        kind="a detector",
        remedy="Give the folder detector/ of a run of finetune/main.py anomaly.",
    )
    detector = load_model(lambda: Detector(architecture), folder)
    return LoadedDetector(detector.eval(), decision, about)

"""Classifiers on disk: a sealed folder with safetensors and JSON, as a pretrained model has."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError
from safetensors.torch import save_file

from finetune.classifiers import Architecture, Classifier, build_classifier
from finetune.encoders.opening import found_in, kept_in
from lamae.checkpoint import load_weights, read_json
from lamae.errors import InputError
from lamae.files import whole_folder, write_json
from lamae.run_folder import CONFIG, WEIGHTS
from lamae.sealing import check_sealed, seal
from lamae.tracking import versions

CLASSIFIER_FOLDER = "classifier"
"""Where a run keeps its classifier."""


class LoadedClassifier(NamedTuple):
    """A classifier and what it needs to be used."""

    classifier: Classifier
    """In evaluation mode."""
    thresholds: dict[str, float]
    """Lowest probability that is called positive, of the classes that have one."""
    about: dict[str, Any]
    """What it was trained with: settings, seed, epochs."""


def save_classifier(
    folder: Path, classifier: Classifier, *, thresholds: dict[str, float], about: dict[str, Any]
) -> None:
    """Write the folder of a classifier; it appears whole or not at all.

    A threshold that is not finite is left out: its class is never called positive.
    """
    with whole_folder(folder) as partial:
        encoder = kept_in(partial, classifier.architecture.encoder)
        architecture = classifier.architecture.model_copy(update={"encoder": encoder})
        config = {
            "architecture": architecture.model_dump(mode="json"),
            "thresholds": {n: float(v) for n, v in thresholds.items() if np.isfinite(v)},
            "about": about,
            "versions": versions(),
        }
        write_json(partial / CONFIG, config)
        weights = classifier.model.state_dict()
        save_file({k: v.contiguous().cpu() for k, v in weights.items()}, partial / WEIGHTS)
        seal(partial)


def load_classifier(folder: Path) -> LoadedClassifier:
    """Load a classifier, from its folder or from the run that made it.

    Raises InputError if there is none, it is damaged, or weights and architecture do not fit.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        folder = folder / CLASSIFIER_FOLDER
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"classifier {folder.parent}",
            value=f"no {CONFIG}" if folder.parent.is_dir() else "no such folder",
            expected=f"a run of finetune/main.py, or its folder {CLASSIFIER_FOLDER}",
            remedy="Check classifier=.",
        )
    check_sealed(folder, needs=(CONFIG, WEIGHTS))
    config = read_json(folder / CONFIG)
    try:
        architecture = Architecture.model_validate(config["architecture"])
        thresholds, about = dict(config["thresholds"]), dict(config["about"])
    except (ValidationError, KeyError) as error:
        raise InputError(
            f"classifier {folder / CONFIG}",
            value=str(error).replace("\n", " "),
            expected="the architecture of a classifier of this version of LAMAE",
            remedy="Give the folder classifier/ of a run of finetune/main.py, not an encoder's.",
        ) from None
    encoder = found_in(folder, architecture.encoder)
    classifier = build_classifier(architecture.model_copy(update={"encoder": encoder}))
    load_weights(classifier.model, folder)
    classifier.model.eval()
    return LoadedClassifier(classifier, thresholds, about)

"""Classifiers on disk: a folder of safetensors and JSON, with checksums."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from finetune.classifiers.classifier import Architecture, Classifier, build_classifier
from finetune.classifiers.run_model import NEEDS, find_run_model, write_run_model
from finetune.encoders.opening import found_in, kept_in
from lamae.config import read_settings
from lamae.files import whole_folder
from lamae.model.model_folder import load_model, load_weights, read_config
from lamae.model.settings import EncoderSettings

CLASSIFIER_FOLDER = "classifier"
"""Folder of a run with its classifier."""


class LoadedClassifier(NamedTuple):
    """A classifier and what it needs to be used."""

    classifier: Classifier
    """In evaluation mode."""
    thresholds: dict[str, float]
    """Lowest probability that is called positive, of the classes that have one."""
    about: dict[str, Any]
    """Facts on its training: settings, seed, epochs."""


def save_classifier(
    folder: Path,
    classifier: Classifier,
    *,
    thresholds: dict[str, float],
    about: dict[str, Any],
    add: Callable[[Path], None] | None = None,
) -> None:
    """Write the folder of a classifier; it appears whole or not at all.

    A threshold that is not finite is left out: its class is never called positive. `add` writes
    other files into it.
    """
    with whole_folder(folder) as partial:
        if add is not None:
            add(partial)
        encoder = kept_in(partial, classifier.architecture.encoder)
        architecture = classifier.architecture.model_copy(update={"encoder": encoder})
        config = {
            "architecture": architecture.model_dump(mode="json"),
            "thresholds": {n: float(v) for n, v in thresholds.items() if np.isfinite(v)},
            "about": about,
        }
        write_run_model(partial, classifier.model, config)


def load_classifier(folder: Path) -> LoadedClassifier:
    """Load a classifier, from its folder or from the run that made it.

    Raises InputError if there is none, it is damaged, or weights and architecture do not fit.
    """
    folder = find_run_model(folder, CLASSIFIER_FOLDER, run_of="finetune/main.py")
    architecture, thresholds, about = read_config(
        folder,
        lambda config: (
            read_settings(Architecture, config["architecture"]),
            dict(config["thresholds"]),
            dict(config["about"]),
        ),
        needs=NEEDS,
        kind="a classifier",
        remedy="Give the folder classifier/ of a run of finetune/main.py, not an encoder's.",
    )
    encoder = found_in(folder, architecture.encoder)
    built = architecture.model_copy(update={"encoder": encoder})
    if isinstance(encoder, EncoderSettings | None):
        model = load_model(lambda: build_classifier(built).model, folder)
    else:  # weights of others may be in their own files
        model = build_classifier(built).model
        load_weights(model, folder)
    return LoadedClassifier(Classifier(model.eval(), built), thresholds, about)

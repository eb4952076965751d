"""The model that a recalibration began with, and what of it goes on in the new one."""

import shutil
from pathlib import Path
from typing import Any

from finetune.classifiers.folder import CLASSIFIER_FOLDER
from finetune.releasing.collect import collect
from lamae.errors import InputError
from lamae.files import file_sha256, write_json
from lamae.release.derived import RESULTS
from lamae.release.description import read_description
from lamae.release.distribution import DISTRIBUTION
from lamae.runs.checksums import CHECKSUMS


def origin_of(folder: Path) -> dict[str, Any]:
    """Return name, version and checksum of a model, and the meaning of its classes if released."""
    release = read_description(folder)
    run = folder.parent if folder.name == CLASSIFIER_FOLDER else folder
    classes = release.output.classes if release else ()
    return {
        "name": release.name if release else run.name,
        "version": release.version if release else None,
        "sha256": file_sha256(folder / CHECKSUMS),
        "classes": {
            one.name: {"description": one.description, "codes": one.model_dump()["codes"]}
            for one in classes
        },
    }


def copy_origin(origin: Path, folder: Path) -> None:
    """Write into a folder how a model was evaluated, and what it learnt from, as far as known.

    A release can be made of the folder where the model was evaluated.
    """
    try:
        results = collect(origin, None).results
    except InputError:
        results = None  # of a run that was interrupted, or a folder without its run
    if results is not None:
        write_json(folder / RESULTS, results)
    if (origin / DISTRIBUTION).is_file():
        shutil.copyfile(origin / DISTRIBUTION, folder / DISTRIBUTION)

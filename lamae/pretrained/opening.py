"""A model of any kind by its name: shipped, in a folder, in an ONNX file, or on a hub."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from lamae.commands import find
from lamae.errors import InputError
from lamae.files import read_json
from lamae.packages import missing_package
from lamae.pretrained.pretrained import Pretrained
from lamae.release.derived import kind_of_config
from lamae.release.golden import check_golden
from lamae.release.place import ONNX, find_model
from lamae.runs.run_folder import CONFIG, MODEL_FOLDER, newest_checkpoint

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "encoder": "lamae.model.pretrained_encoder:PretrainedEncoder",
        "classifier": "finetune.prediction.pretrained_classifier:PretrainedClassifier",
        "detector": "finetune.prediction.pretrained_detector:PretrainedDetector",
        "onnx": "lamae.edge.pretrained_onnx:PretrainedOnnx",
    }
)
"""Class of each kind by its name: none is imported before it is needed, nor is torch."""

_FOLDERS = {"classifier": "classifier", "detector": "detector", "encoder": MODEL_FOLDER}
"""Folder of a run with its model, by kind."""


def from_pretrained(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str | None = None,
    check: bool = True,
) -> Pretrained:
    """Open a model by its name; raises InputError where there is none, or it is damaged.

    Args:
        name: a model that is shipped (`lamae-cpu.ptbxl`), the folder of a model or of the run that
            made it, an ONNX file, or `hf://owner/name[@revision]`.
        revision: of a model on a hub; by default the one in its name, or the newest.
        device: where torch computes, such as `cuda` or `cpu`; by default a GPU if there is one.
        check: compute the recordings that come with a release once, and compare.
    """
    kind, folder = kind_of(find_model(name, revision=revision))
    try:
        model: Pretrained = find(KINDS[kind]).open(folder, device=device)
    except ModuleNotFoundError as error:
        raise missing_package(error) or error from None
    if check:
        check_golden(folder, model)
    return model


def kind_of(place: Path) -> tuple[str, Path]:
    """Return the kind of a model and its own folder, or its file, from that or from its run.

    Raises InputError where there is none.
    """
    if place.suffix == ONNX:
        return "onnx", place
    if (place / CONFIG).is_file():
        return kind_of_config(read_json(place / CONFIG)), place
    for kind, folder in _FOLDERS.items():
        if (place / folder / CONFIG).is_file():
            return kind, place if kind == "encoder" else place / folder
    if newest_checkpoint(place):
        return "encoder", place
    raise InputError(
        f"model {place}",
        value=f"no {CONFIG} of a model",
        expected="the folder of an encoder, classifier or detector, or of a run that made one",
        remedy="Check the path.",
    )

"""The request of a verb of prediction: its model opened, its recordings listed."""

from pathlib import Path
from typing import NamedTuple

from finetune.overwriting import check_output
from finetune.prediction.settings import ModelSettings
from lamae.errors import InputError
from lamae.pretrained.inputs import Recordings, recordings_of
from lamae.pretrained.opening import from_pretrained
from lamae.pretrained.pretrained import Pretrained
from lamae.release.place import find_model
from lamae.runs.tracking import launcher


class Request(NamedTuple):
    """A model and the recordings to put to it."""

    model: Pretrained
    """The model."""
    found: Recordings
    """The recordings."""


def check_request(settings: ModelSettings) -> None:
    """Raise InputError where there is no source, or its results have no place or another's."""
    source, output = settings.source, settings.output
    if output is not None:
        check_output(output, overwrite=settings.overwrite, holds="another result")
    elif source.is_dir():
        raise InputError(
            "output",
            value=f"not given, and {source} is a folder",
            expected=f"a file that ends in {', '.join(settings.endings)}",
            remedy=f"Give output=result{settings.endings[0]}.",
        )


def open_request(settings: ModelSettings, place: Path | None = None) -> Request:
    """Open a model and list the recordings, on the one process of a command.

    `place` is that of the model, where it was found already. Raises InputError where several
    processes were launched.
    """
    if (processes := launcher()["processes"]) != 1:
        raise InputError(
            "processes",
            value=processes,
            expected="one, but for a classifier on shards",
            remedy="Start it without accelerate, or build shards of the recordings.",
        )
    if place is None:
        place = find_model(settings.model, revision=settings.revision)
    model = from_pretrained(place, device=settings.device)
    if settings.cpu_threads is not None and model.kind != "onnx":
        import torch

        torch.set_num_threads(settings.cpu_threads)
    return Request(model, recordings_of(settings.source, **settings.how))

"""Checkpoints: a model, its optimiser and the state of its training, written whole or not at all.

Nothing in a checkpoint is executed, and nothing is read before its SHA-256 has been checked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.files import read_json
from lamae.model.autoencoder import LAMAE
from lamae.model.checkpoint import current_config, model_config
from lamae.model.model_folder import check_fit, places_of, read_rows, shapes, shapes_at
from lamae.runs.checksums import verify_checksums
from lamae.runs.run_folder import (
    CHECKPOINT_FILES,
    CONFIG,
    OPTIMIZER,
    STATE,
    WEIGHTS,
    Attempt,
    files_of,
)
from lamae.runs.shard_index import SHARDS, Place
from lamae.training.checkpoint_writing import Alone, draft, write_checkpoint
from lamae.training.host_copy import HostCopy
from lamae.training.optim import load_optimizer
from lamae.training.pieces import is_spread, piece_of


def save_checkpoint(
    run_dir: Path,
    *,
    step: int,
    model: LAMAE,
    optimizer: torch.optim.Optimizer,
    preprocessor: Preprocessor,
    state: dict[str, Any],
    attempt: Attempt,
    average: LAMAE | None = None,
) -> Path:
    """Write the checkpoint of a step from one process, and wait for it; `state` must be JSON.

    `average` holds averaged weights. A checkpoint of that step is left as it is. Raises FencedError
    if a later attempt at the run has begun, and InputError if there is a checkpoint of that step
    with other weights.
    """
    content = draft(
        step=step,
        model=model,
        optimizer=optimizer,
        preprocessor=preprocessor,
        state=state,
        copies=HostCopy(),
        average=average,
    )
    return write_checkpoint(run_dir, content, attempt=attempt, exchange=Alone())


def load_checkpoint(
    folder: Path, *, model: LAMAE, optimizer: torch.optim.Optimizer, preprocessor: Preprocessor
) -> dict[str, Any]:
    """Load weights and optimiser state in place; return the content of `state.json`.

    Where the model is spread over processes, each reads the rows that it holds, and verifies the
    files that have them. Raises InputError if the checkpoint is damaged, or has another
    architecture or preprocessor.
    """
    spread = is_spread(model)
    needs = files_of(folder, CHECKPOINT_FILES)
    verify_checksums(folder, needs=needs, only=() if spread else None)
    config = current_config(read_json(folder / CONFIG))
    expected = model_config(model, preprocessor)
    if config != expected:
        key, found, wanted = first_difference(config, expected)
        raise InputError(
            f"checkpoint {folder}, {key}",
            value=repr(found),
            expected=f"{wanted!r}, as configured",
            remedy="Resume with the configuration it was made with, or use another run_dir.",
        )
    by_part = spread and SHARDS in needs
    weights, places = model.state_dict(), places_of(folder, WEIGHTS)
    check_fit(shapes(weights), shapes_at(places), folder)
    _fill(folder, places, weights, verify=by_part)
    places = places_of(folder, OPTIMIZER)
    moments = _optimizer_to_fill(model, places)
    _fill(folder, places, moments, verify=by_part)
    load_optimizer(model, optimizer, moments)
    return read_json(folder / STATE)


def _optimizer_to_fill(model: nn.Module, places: Mapping[str, Place]) -> dict[str, Tensor]:
    """Return memory for the state of an optimiser, each moment spread as its parameter is."""
    parameters = dict(model.named_parameters())
    found = {}
    for label, place in places.items():
        _, _, name = label.partition(".")  # as exp_avg.encoder.norm.weight
        if name in parameters:
            found[label] = _empty_like(parameters[name], place)
    return found


def _empty_like(parameter: Tensor, place: Place) -> Tensor:
    """Return memory for a moment, spread as its parameter is, or for a number such as its step."""
    if place.shape == tuple(parameter.shape):
        return torch.zeros_like(parameter, requires_grad=False)
    return torch.zeros(place.shape, device=parameter.device)


def _fill(
    folder: Path, places: Mapping[str, Place], tensors: Mapping[str, Tensor], *, verify: bool
) -> None:
    """Read what this process holds of tensors; with `verify`, once their files are verified."""
    pieces = {name: piece_of(tensor) for name, tensor in tensors.items()}
    wanted = {name: places[name] for name in pieces}
    rows = {name: (piece.start, piece.stop) for name, piece in pieces.items()}
    if verify:
        parts = (part for name, place in wanted.items() for part in place.within(*rows[name]))
        verify_checksums(folder, needs=(), only={part.file for part in parts})
    with torch.no_grad():
        for name, value in read_rows(folder, wanted, rows).items():
            pieces[name].tensor.copy_(value)


def first_difference(found: Any, wanted: Any, path: str = "") -> tuple[str, Any, Any]:
    """Return the dotted name of the first difference of nested mappings, and both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            if found.get(key) != wanted.get(key):
                inner = f"{path}.{key}" if path else key
                return first_difference(found.get(key), wanted.get(key), inner)
    return path, found, wanted

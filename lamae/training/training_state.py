"""Checkpoints: a model, its optimiser and the state of its training, written whole or not at all.

Nothing in a checkpoint is executed, and nothing is read before its SHA-256 has been checked.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.files import fresh_folder, read_json
from lamae.model.autoencoder import LAMAE
from lamae.model.checkpoint import current_config, model_config
from lamae.model.model_folder import load_weights, read_tensors, write_folder
from lamae.runs.checksums import damage, read_checksums, verify_checksums
from lamae.runs.run_folder import (
    AVERAGE,
    CHECKPOINT_FILES,
    CONFIG,
    OPTIMIZER,
    STATE,
    WEIGHTS,
    Attempt,
    checkpoint_folder,
    partial_folder,
    sweep,
)


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
    """Write the checkpoint of a step; `state` must be JSON, `average` holds averaged weights.

    A checkpoint of that step is left as it is. Raises FencedError if a later attempt at the run
    has begun, and InputError if there is a checkpoint of that step with other weights.
    """
    sweep(run_dir, attempt)
    folder = checkpoint_folder(run_dir, step)
    partial = partial_folder(folder, attempt)
    written = {}
    try:
        with fresh_folder(folder, partial, permit=attempt.check):
            write_folder(
                partial,
                tensors={
                    WEIGHTS: model.state_dict(),
                    OPTIMIZER: optimizer_tensors(model, optimizer),
                    **({AVERAGE: average.state_dict()} if average is not None else {}),
                },
                documents={
                    CONFIG: model_config(model, preprocessor),
                    STATE: {"step": step, "attempt": attempt.number, **state},
                },
            )
            written = read_checksums(partial)
    except FileExistsError:
        _check_same(folder, written)
    except OSError:
        attempt.check()  # a later attempt sweeps away what this one was writing
        raise
    return folder


def load_checkpoint(
    folder: Path, *, model: LAMAE, optimizer: torch.optim.Optimizer, preprocessor: Preprocessor
) -> dict[str, Any]:
    """Load weights and optimiser state in place; return the content of `state.json`.

    Raises InputError if the checkpoint is damaged, or has another architecture or preprocessor.
    """
    verify_checksums(folder, needs=CHECKPOINT_FILES)
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
    load_weights(model, folder)
    load_optimizer(model, optimizer, read_tensors(folder / OPTIMIZER))
    return read_json(folder / STATE)


def _check_same(folder: Path, written: dict[str, Any]) -> None:
    """Refuse what would replace a checkpoint; state.json alone may differ, as its times do."""
    found = damage(folder, needs=CHECKPOINT_FILES)
    if not found:
        there = read_checksums(folder)
        differing = [n for n in (CONFIG, WEIGHTS, OPTIMIZER) if there[n] != written[n]]
        found = ", ".join(f"another {name}" for name in differing)
    if found:
        raise InputError(
            f"checkpoint {folder}",
            value=f"exists, with {found}",
            expected="that no checkpoint is ever replaced",
            remedy="Resume the run to go on from its newest checkpoint, or use another run_dir.",
        )


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser, named by what it is and the parameter that it is of."""
    return {
        f"{key}.{name}": value.contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Give an optimiser what `optimizer_tensors` returned, on the devices of its parameters."""
    by_name: dict[str, dict[str, Tensor]] = {}
    for label, value in tensors.items():
        key, _, name = label.partition(".")  # as exp_avg.encoder.norm.weight
        by_name.setdefault(name, {})[key] = value
    for name, parameter in model.named_parameters():
        of_this = by_name.get(name, {}).items()
        optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in of_this}


def first_difference(found: Any, wanted: Any, path: str = "") -> tuple[str, Any, Any]:
    """Return the dotted name of the first difference of nested mappings, and both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            if found.get(key) != wanted.get(key):
                inner = f"{path}.{key}" if path else key
                return first_difference(found.get(key), wanted.get(key), inner)
    return path, found, wanted

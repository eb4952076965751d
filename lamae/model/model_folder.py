"""A model's folder: JSON documents, safetensors and their checksums, never pickle.

Its checksums are verified before anything in it is read, and nothing in it is executed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lamae.errors import InputError
from lamae.faults import fault_number
from lamae.files import read_json, unreadable, write_json
from lamae.runs.checksums import verify_checksums, write_checksums
from lamae.runs.run_folder import CONFIG, WEIGHTS

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)
_Shapes = dict[str, tuple[int, ...]]
_MAX_SAID = 1000


def write_folder(
    partial: Path,
    *,
    tensors: Mapping[str, Mapping[str, Tensor]],
    documents: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write files of tensors and JSON documents, by their names, into a folder being filled."""
    for name, content in documents.items():
        write_json(partial / name, content)
    for name, named in tensors.items():
        _write_tensors(partial / name, named)
    write_checksums(partial)


def read_config(
    folder: Path,
    parse: Callable[[dict[str, Any]], T],
    *,
    needs: Sequence[str],
    kind: str,
    remedy: str,
) -> T:
    """Return what `parse` makes of a folder's configuration, once its checksums are verified.

    Args:
        folder: with a configuration.
        parse: turns it into settings.
        needs: files that must be there.
        kind: the thing in the folder, for the error.
        remedy: for a configuration that cannot be parsed.

    Raises InputError for damage, and for a configuration of another kind or version.
    """
    verify_checksums(folder, needs=needs)
    try:
        return parse(read_json(folder / CONFIG))
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{kind} {folder / CONFIG}",
            value=_shortened(str(error).replace("\n", " ")),
            expected=f"the configuration of {kind} of this version of LAMAE",
            remedy=remedy,
        ) from None


def load_model(make: Callable[[], M], folder: Path) -> M:
    """Return the model that `make` makes, with the weights of a folder.

    Its shapes are compared with those of the file first, on torch's meta device, where nothing is
    allocated. Raises InputError if they do not fit.
    """
    try:
        with torch.device("meta"):
            own = _shapes(make().state_dict())
    except (RuntimeError, OverflowError, TypeError) as error:
        found = _shortened(str(error).replace("\n", " "))
        expected = "sizes that a model can have"
        raise unreadable(folder / CONFIG, found, expected=expected) from error
    _check_fit(own, _shapes_in(folder / WEIGHTS), folder)
    model = make()
    load_weights(model, folder)
    return model


def load_weights(model: nn.Module, folder: Path) -> None:
    """Load the weights of a folder in place; raises InputError if they do not fit."""
    weights = read_tensors(folder / WEIGHTS)
    _check_fit(_shapes(model.state_dict()), _shapes(weights), folder)
    model.load_state_dict(weights)


def _check_fit(own: _Shapes, found: _Shapes, folder: Path) -> None:
    if own != found:
        name = min(name for name, _ in own.items() ^ found.items())
        raise InputError(
            f"weights {folder / WEIGHTS}, {name}",
            value=f"shape {found.get(name, 'absent')}",
            expected=f"{own.get(name, 'no such weight')}, by {CONFIG}",
            remedy="Weights and config.json are not of one model: copy both from one place.",
        )


def _shapes(tensors: Mapping[str, Tensor]) -> _Shapes:
    return {name: tuple(value.shape) for name, value in tensors.items()}


def _shapes_in(path: Path) -> _Shapes:
    """Return the shapes that the header of a file of tensors states; none is read."""
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error, expected="a whole safetensors file") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raises InputError if it is none."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error, expected="a whole safetensors file") from None


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SAID else f"{text[:_MAX_SAID]}..."


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    path.touch()
    mode = path.stat().st_mode  # by the umask, where safetensors lets the owner alone read
    try:
        save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, path)
    except SafetensorError as error:
        number = fault_number(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from None
    path.chmod(mode)

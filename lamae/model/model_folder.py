"""A model's folder: JSON documents, safetensors and their checksums, never pickle.

Its checksums are verified before anything in it is read, and nothing in it is executed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lamae.errors import InputError
from lamae.files import write_json
from lamae.runs.checksums import verify_checksums, write_checksums
from lamae.runs.run_folder import CONFIG, WEIGHTS

T = TypeVar("T")


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
    except (ValidationError, KeyError) as error:
        raise InputError(
            f"{kind} {folder / CONFIG}",
            value=str(error).replace("\n", " "),
            expected=f"the configuration of {kind} of this version of LAMAE",
            remedy=remedy,
        ) from None


def load_weights(model: nn.Module, folder: Path) -> None:
    """Load the weights of a folder in place; raises InputError if they do not fit."""
    weights = read_tensors(folder / WEIGHTS)
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if own != found:
        name = min(name for name, _ in own.items() ^ found.items())
        raise InputError(
            f"weights {folder / WEIGHTS}, {name}",
            value=f"shape {found.get(name, 'absent')}",
            expected=f"{own.get(name, 'no such weight')}, by {CONFIG}",
            remedy="Weights and config.json are not of one model: copy both from one place.",
        )
    model.load_state_dict(weights)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raises InputError if it is none."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error, expected="a whole safetensors file") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; raises InputError if it is no JSON object."""
    try:
        content = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise _unreadable(path, error, expected="a whole JSON file") from None
    if not isinstance(content, dict):
        raise _unreadable(path, type(content).__name__, expected="a JSON object")
    return content


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    path.touch()
    mode = path.stat().st_mode  # by the umask, where safetensors lets the owner alone read
    save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, path)
    path.chmod(mode)


def _unreadable(path: Path, found: object, *, expected: str) -> InputError:
    return InputError(
        f"file {path}",
        value=str(found),
        expected=expected,
        remedy="Copy the folder again, or use another checkpoint.",
    )

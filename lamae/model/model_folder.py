"""A model's folder: JSON documents, safetensors and their checksums, never pickle.

Its checksums are verified before anything in it is read, and nothing in it is executed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
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
from lamae.runs.checksums import CHECKSUMS, read_checksums, verify_checksums, write_checksums
from lamae.runs.run_folder import CONFIG, WEIGHTS
from lamae.runs.shard_index import SHARDS, Place, Rows, read_index

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)
Shapes = dict[str, tuple[int, ...]]
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
            own = shapes(make().state_dict())
    except (RuntimeError, OverflowError, TypeError) as error:
        found = _shortened(str(error).replace("\n", " "))
        expected = "sizes that a model can have"
        raise unreadable(folder / CONFIG, found, expected=expected) from error
    check_fit(own, shapes_at(places_of(folder, WEIGHTS)), folder)
    model = make()
    load_weights(model, folder)
    return model


def load_weights(model: nn.Module, folder: Path) -> None:
    """Load the weights of a folder in place; raises InputError if they do not fit."""
    places = places_of(folder, WEIGHTS)
    check_fit(shapes(model.state_dict()), shapes_at(places), folder)
    model.load_state_dict(read_rows(folder, places))


def check_fit(own: Shapes, found: Shapes, folder: Path) -> None:
    """Raise InputError where a folder's weights are not those of a model, by name and shape."""
    if own != found:
        name = min(name for name, _ in own.items() ^ found.items())
        raise InputError(
            f"weights {folder / WEIGHTS}, {name}",
            value=f"shape {found.get(name, 'absent')}",
            expected=f"{own.get(name, 'no such weight')}, by {CONFIG}",
            remedy="Weights and config.json are not of one model: copy both from one place.",
        )


def shapes(tensors: Mapping[str, Tensor]) -> Shapes:
    """Return the shape of each tensor."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def shapes_at(places: Mapping[str, Place]) -> Shapes:
    """Return the shape of each tensor of a folder; none is read."""
    return {name: place.shape for name, place in places.items()}


def places_of(folder: Path, file: str) -> dict[str, Place]:
    """Return where the tensors of a file are: in it, or in those that several processes wrote.

    Raises InputError where it cannot be read, or an index names a file without a checksum.
    """
    index = read_index(folder)
    if index is None:
        return _places_in(folder / file)
    places = index.get(file, {})
    sealed = read_checksums(folder)
    for name, place in places.items():
        for rows in place.rows:
            if rows.file not in sealed:
                expected = f"files that {CHECKSUMS} names"
                raise unreadable(folder / SHARDS, f"{name} in {rows.file}", expected=expected)
    return places


def read_rows(
    folder: Path, places: Mapping[str, Place], rows: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, Tensor]:
    """Return tensors of a folder, of each the rows from the first number to before the second.

    By default all of all. Raises InputError where a file is not as `places` says.
    """
    found = dict[str, Tensor]()
    with ExitStack() as opened:
        files: dict[str, Any] = {}
        for name, place in places.items():
            start, stop = rows[name] if rows is not None else (0, (place.shape or (1,))[0])
            parts = []
            for part in place.within(start, stop):
                path = folder / part.file
                try:
                    if part.file not in files:
                        file = safe_open(path, framework="pt")
                        files[part.file] = opened.enter_context(file)
                    parts.append(_slice(files[part.file], name, place, part))
                except (SafetensorError, OSError) as error:
                    raise unreadable(path, error, expected="a whole safetensors file") from None
            found[name] = _joined(folder, name, place, (start, stop), parts)
    return found


def _slice(file: Any, name: str, place: Place, part: Rows) -> Tensor:
    if not place.shape:
        return file.get_tensor(name)
    first = place.first_row(part.file)
    return file.get_slice(name)[part.start - first : part.stop - first]


def _joined(
    folder: Path, name: str, place: Place, rows: tuple[int, int], parts: list[Tensor]
) -> Tensor:
    expected = (rows[1] - rows[0], *place.shape[1:]) if place.shape else ()
    try:
        whole = torch.cat(parts) if len(parts) > 1 else parts[0] if parts else torch.empty(expected)
    except RuntimeError as error:
        raise unreadable(folder / SHARDS, f"{name}: {error}", expected=f"{expected}") from None
    if tuple(whole.shape) != expected:
        raise unreadable(
            folder / SHARDS, f"{name} of shape {tuple(whole.shape)}", expected=f"{expected}"
        )
    return whole


def _places_in(path: Path) -> dict[str, Place]:
    """Return the tensors that the header of a file states; none is read."""
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error, expected="a whole safetensors file") from None
    return {
        name: Place(shape, (Rows(path.name, 0, (shape or (1,))[0]),))
        for name, shape in found.items()
    }


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

"""Check of a release: complete, of one mind, and free of code, links and patients."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from lamae.errors import InputError
from lamae.files import read_json
from lamae.release.card import card_problems
from lamae.release.derived import RESULTS, derive, read_parts
from lamae.release.description import RELEASE, ReleaseDescription, read_description
from lamae.release.distribution import DISTRIBUTION
from lamae.release.golden import GOLDEN, is_simulated, read_golden
from lamae.release.hub import CARD
from lamae.release.traces import traces_in
from lamae.runs.checksums import CHECKSUMS, UNCHECKED, damage, read_checksums
from lamae.runs.run_folder import CONFIG, STATE, WEIGHTS

LICENCE, NOTICE = "LICENSE", "NOTICE"
"""Text of the licence of the weights; attributions that the licences of the data ask for."""
REQUIRED = (CONFIG, WEIGHTS, RELEASE, GOLDEN, RESULTS, LICENCE, NOTICE)
"""Files of every release that have checksums."""
IDENTITY = "lamae"
"""Under which name the metadata of weights have kind, name and version, as JSON."""

NETWORK = "model.onnx"
"""The same classifier for use without torch, held to the same golden vectors."""

_OPTIONAL = {STATE, CHECKSUMS, *UNCHECKED, NETWORK, "encoder.onnx", DISTRIBUTION}
_TEXTS = (CARD, NOTICE)


def check_release(folder: Path) -> list[str]:
    """Return a sentence for everything that is wrong with a release; none where it is right.

    Its golden vectors are computed by `check_golden`, with the model.
    """
    try:
        description = read_description(folder)
    except InputError as error:
        return [str(error)]
    if description is None:
        return [f"no {RELEASE}"]
    problems = list(_odd_files(folder, description))
    if problems:  # nothing else is read in a folder of unknown files
        return problems
    checks: tuple[Callable[[Path, ReleaseDescription], Iterator[str]], ...] = (
        _checksums,
        _contradictions,
        _identity,
        _texts,
        _traces,
        _recordings,
    )
    for check in checks:
        try:
            problems += check(folder, description)
        except InputError as error:
            problems.append(str(error))
    return problems


def _odd_files(folder: Path, description: ReleaseDescription) -> Iterator[str]:
    wanted = {*REQUIRED, CHECKSUMS, CARD, *([STATE] if description.kind == "encoder" else [])}
    found = sorted(folder.iterdir())
    yield from (f"no {name}" for name in sorted(wanted - {path.name for path in found}))
    for path in found:
        if path.is_dir():
            yield f"{path.name}/ is a folder: a release is flat"
        elif path.is_symlink() and not _of_the_cache(path):
            yield f"{path.name} is a link, to {path.readlink()}"
        elif path.name not in wanted | _OPTIONAL:
            yield f"{path.name} is no file of a release"


def _of_the_cache(path: Path) -> bool:
    """Say whether a link is one of the Hub's cache: to the content of the same repository."""
    return path.resolve().parent == (path.parent / ".." / ".." / "blobs").resolve()


def _checksums(folder: Path, _: ReleaseDescription) -> Iterator[str]:
    if found := damage(folder, needs=REQUIRED):
        yield found
        return
    listed = {*read_checksums(folder)}
    present = {path.name for path in folder.iterdir()}
    for name in sorted(present - listed - {CHECKSUMS, *UNCHECKED}):
        yield f"{name} has no checksum in {CHECKSUMS}"
    for name in sorted(listed & {*UNCHECKED}):
        yield f"{name} has a checksum, so that nobody could edit it"


def _contradictions(folder: Path, description: ReleaseDescription) -> Iterator[str]:
    """Derive again what follows from the other files, and compare."""
    said = description.model_dump()
    words = {one["name"]: one for one in said["output"]["classes"]}
    derived = derive(read_parts(folder), words)
    try:
        again = ReleaseDescription.model_validate(said | derived).model_dump()
    except ValidationError as error:
        yield f"{CONFIG} and {RESULTS} make no description: {error.errors()[0]['msg']}"
        return
    for name in derived:
        if said[name] != again[name]:
            where = _first_difference(said[name], again[name], name)
            yield f"{RELEASE} says another thing than {CONFIG}, {RESULTS} and {GOLDEN}: {where}"


def _first_difference(one: Any, two: Any, place: str) -> str:
    if isinstance(one, dict) and isinstance(two, dict):
        for key in one:
            if one[key] != two.get(key):
                return _first_difference(one[key], two.get(key), f"{place}.{key}")
    if isinstance(one, tuple | list) and isinstance(two, tuple | list) and len(one) == len(two):
        for number, (left, right) in enumerate(zip(one, two, strict=True)):
            if left != right:
                return _first_difference(left, right, f"{place}[{number}]")
    return f"{place} is {one} instead of {two}"


def _identity(folder: Path, description: ReleaseDescription) -> Iterator[str]:
    found = weights_identity(folder / WEIGHTS)
    wanted = {"kind": description.kind, "name": description.name, "version": description.version}
    if found != wanted:
        yield f"{WEIGHTS} is of {found or 'an unknown release'} instead of {wanted}"


def weights_identity(path: Path) -> dict[str, str] | None:
    """Return kind, name and version of the release that a file of weights is of; None of none."""
    try:
        with safe_open(path, framework="np") as file:
            return dict(json.loads((file.metadata() or {})[IDENTITY]))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None


def _texts(folder: Path, description: ReleaseDescription) -> Iterator[str]:
    for name in (LICENCE, NOTICE):
        if not (folder / name).read_text().strip():
            yield f"{name} is empty"
    notice = (folder / NOTICE).read_text()
    for data in description.license.data:
        if data.name not in notice or data.license not in notice:
            yield f"{NOTICE} does not name {data.name} and its licence, {data.license}"
    yield from card_problems((folder / CARD).read_text(), description)


def _traces(folder: Path, _: ReleaseDescription) -> Iterator[str]:
    names = [path.name for path in folder.iterdir() if path.suffix == ".json"]
    for name in sorted({*names} - {CHECKSUMS}):
        yield from (f"{name}, {found}" for found in traces_in(read_json(folder / name)))
    for name in _TEXTS:
        yield from (f"{name}, {found}" for found in traces_in((folder / name).read_text()))


def _recordings(folder: Path, description: ReleaseDescription) -> Iterator[str]:
    if not is_simulated(read_golden(folder), window_s=description.input.window_s):
        yield f"{GOLDEN} holds other recordings than the simulated ones, perhaps of a patient"

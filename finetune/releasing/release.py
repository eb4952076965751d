"""The verb release: a trained model and its results become the folder of a released model."""

import datetime
import shutil
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.version import Version
from pydantic import ValidationError

from finetune.releasing.check import problems_of
from finetune.releasing.collect import Collected, collect, write_model
from finetune.releasing.distribution import add_distribution
from finetune.releasing.settings import ReleaseSettings
from lamae.errors import InputError
from lamae.files import fresh_folder, open_whole, write_json
from lamae.pretrained.opening import from_pretrained
from lamae.pretrained.pretrained import Pretrained
from lamae.release.card import render_card
from lamae.release.check import LICENCE, NETWORK, NOTICE
from lamae.release.derived import RESULTS, derive, read_parts
from lamae.release.description import RELEASE, ReleaseDescription, read_description
from lamae.release.distribution import DISTRIBUTION
from lamae.release.golden import golden_of, write_golden
from lamae.release.hub import CARD
from lamae.release.recalibration import RECALIBRATION
from lamae.runs.checksums import read_checksums, write_checksums

_TYPED = (
    "name", "version", "intended_use", "not_for", "limits", "citation", "base_model", "home",
    "hardware",
)  # fmt: skip
_OWN_LICENCE = "Apache-2.0"


def release(settings: ReleaseSettings) -> list[str]:
    """Make the folder, check it, and return what was done in a sentence.

    Raises InputError where anything is missing or wrong, and where the folder holds another
    content: a version is used once.
    """
    collected = collect(settings.model, settings.results, settings.data)
    there = read_description(settings.output) if settings.output.is_dir() else None
    same = False
    try:
        with fresh_folder(
            settings.output,
            settings.output.with_name(f"{settings.output.name}.partial"),
            permit=lambda: None,
        ) as folder:
            _refuse_problems(folder, _fill(folder, collected, settings, there))
            same = there is not None and read_checksums(folder) == read_checksums(settings.output)
    except FileExistsError:
        if not same:
            raise _used(settings, there) from None
        return [f"{settings.name} {settings.version} is there already: {settings.output}"]
    return [
        f"{collected.kind} {settings.name} {settings.version}: {settings.output}",
        f"Read its card, {settings.output / CARD}, before you give it away.",
    ]


def _fill(
    folder: Path,
    collected: Collected,
    settings: ReleaseSettings,
    there: ReleaseDescription | None,
) -> Pretrained:
    """Write all files of a release and return its model, opened.

    `there` is the release of the same place, if there is one.
    """
    identity = {"kind": collected.kind, "name": settings.name, "version": settings.version}
    write_model(folder, collected, identity, half=settings.half)
    write_json(folder / RESULTS, collected.results)
    if settings.onnx is not None:
        shutil.copyfile(settings.onnx, folder / NETWORK)
    write_checksums(folder)
    model = from_pretrained(folder, check=False)
    golden = golden_of(model)
    write_golden(folder, golden)
    patients = settings.distribution_patients
    if not patients:
        (folder / DISTRIBUTION).unlink(missing_ok=True)
    elif golden.embedding_width and not (folder / DISTRIBUTION).is_file():
        add_distribution(folder, model, collected.learnt, patients=patients)
    description = _description(folder, settings, there)
    write_json(folder / RELEASE, description.model_dump(mode="json"))
    _write_text(folder / LICENCE, _licence_text(settings))
    _write_text(folder / NOTICE, _notice(description))
    _write_text(folder / CARD, render_card(description, collected.results))
    write_checksums(folder)
    return model


def _description(
    folder: Path, settings: ReleaseSettings, there: ReleaseDescription | None
) -> ReleaseDescription:
    same = there is not None and (there.name, there.version) == (settings.name, settings.version)
    typed: dict[str, Any] = {name: getattr(settings, name) for name in _TYPED}
    typed |= {
        "created": settings.created or (there.created if there and same else _today()),
        "changelog": {settings.version: settings.changelog, **_earlier(settings)},
        "requires": {"lamae": settings.requires},
        "license": {"weights": settings.license, "data": settings.data_sets},
    }
    parts = read_parts(folder)
    known = parts.config.get("about", {}).get(RECALIBRATION, {}).get("model", {})
    words = {**known.get("classes", {})}
    words |= {name: one.model_dump() for name, one in settings.classes.items()}
    derived = derive(parts, words)
    _check_words(derived, words)
    try:
        return ReleaseDescription.model_validate(typed | derived)
    except ValidationError as error:
        raise InputError(
            f"release {settings.name}",
            value="; ".join(f"{_place(one['loc'])}: {one['msg']}" for one in error.errors()),
            expected="a description without contradictions",
            remedy="Correct the settings, or finish the run that the figures are of.",
        ) from None


def _check_words(derived: dict[str, Any], words: Mapping[str, Any]) -> None:
    """Raise InputError where a class has no meaning, or a meaning is of no class."""
    names = [one["name"] for one in derived["output"].get("classes", ())]
    if {*names} != {*words}:
        raise InputError(
            "classes",
            value=f"meanings of {', '.join(words) or 'none'}",
            expected=f"one for each of {', '.join(names) or 'none: this model has no classes'}",
            remedy="Give classes: {NAME: {description: in words, codes: {scp: [CODE]}}}.",
        )


def _earlier(settings: ReleaseSettings) -> dict[str, str]:
    """Return the changelog of the previous release; raises InputError where none can follow it."""
    if settings.previous is None:
        return {}
    previous = read_description(settings.previous)
    if previous is None or previous.name != settings.name:
        found = "no release" if previous is None else previous.name
        raise _no_successor(settings, found, f"a release of {settings.name}")
    if previous.license.weights != settings.license:
        raise _no_successor(
            settings, f"licence {previous.license.weights}", f"licence {settings.license}"
        )
    if Version(previous.version) >= Version(settings.version):
        raise _no_successor(
            settings, f"version {previous.version}", f"a version before {settings.version}"
        )
    return previous.changelog


def _no_successor(settings: ReleaseSettings, found: str, expected: str) -> InputError:
    return InputError(
        f"previous release {settings.previous}",
        value=found,
        expected=expected,
        remedy="Give another name: name and licence stay with all versions of a model.",
    )


def _licence_text(settings: ReleaseSettings) -> str:
    if settings.license_file is not None:
        return settings.license_file.read_text()
    text = _own_licence()
    if settings.license != _OWN_LICENCE or text is None:
        raise InputError(
            f"licence {settings.license}",
            value="no text",
            expected="the text of the licence, to go with the weights",
            remedy="Give license_file=.",
        )
    return text


def _own_licence() -> str | None:
    """Return the licence of LAMAE, of a checkout or of what is installed."""
    of_checkout = Path(__file__).resolve().parents[2] / LICENCE
    if of_checkout.is_file():
        return of_checkout.read_text()
    return distribution("lamae").read_text(f"licenses/{LICENCE}")


def _notice(description: ReleaseDescription) -> str:
    lines = [f"{description.name} {description.version}", "", "Made from:", ""]
    for data in description.license.data:
        where = f", {data.url}" if data.url else ""
        lines.append(f"{data.name}{where}: {data.license}. {data.citation}")
    return "\n".join([*lines, "", "No recording of it is part of this model.", ""])


def _refuse_problems(folder: Path, model: Pretrained) -> None:
    if problems := problems_of(folder, model):
        raise InputError(
            "release",
            value="; ".join(problems),
            expected="a release that `check` accepts",
            remedy="Correct what is named; nothing was made.",
        )


def _used(settings: ReleaseSettings, there: ReleaseDescription | None) -> InputError:
    held = f"{there.name} {there.version}" if there else "other files"
    return InputError(
        f"output {settings.output}",
        value=f"holds {held}" + (" with other content" if there else ""),
        expected="a folder that is not there: a name and version is used once",
        remedy="Give another version= and output=.",
    )


def _write_text(path: Path, text: str) -> None:
    with open_whole(path) as file:
        file.write(text.encode())


def _place(keys: tuple[int | str, ...]) -> str:
    return ".".join(map(str, keys)) or RELEASE


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()

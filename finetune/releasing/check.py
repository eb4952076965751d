"""The verb check: all that can be wrong with a release, and its golden vectors."""

from collections.abc import Iterator
from pathlib import Path

from finetune.releasing.settings import CheckSettings
from lamae.errors import InputError
from lamae.pretrained.opening import from_pretrained
from lamae.pretrained.pretrained import Pretrained
from lamae.release.check import NETWORK, check_release
from lamae.release.description import RELEASE, read_description
from lamae.release.golden import check_golden
from lamae.release.place import find_model


def check(settings: CheckSettings) -> list[str]:
    """Return in a sentence that a release is right; raises InputError that names all problems."""
    folder = find_model(settings.release)
    problems = problems_of(folder)
    if problems:
        raise InputError(
            f"release {settings.release}",
            value="".join(f"\n  {problem}" for problem in problems) + "\n",
            expected="a complete release without contradictions, code, links or traces of people",
            remedy="Make it again with `release`, or copy it again.",
        )
    description = read_description(folder)
    assert description is not None, f"{RELEASE} was read by the check"
    name = f"{description.kind} {description.name} {description.version}"
    return [f"{name} is right: files, checksums, card, figures, golden vectors. {folder}"]


def problems_of(folder: Path, opened: Pretrained | None = None) -> list[str]:
    """Return a sentence for each thing that is wrong; of golden vectors if nothing else is.

    `opened` is the model of the folder, where it was opened already.
    """
    return check_release(folder) or [*_golden_problems(folder, opened)]


def _golden_problems(folder: Path, opened: Pretrained | None) -> Iterator[str]:
    for place in (folder, folder / NETWORK):
        if not place.exists():
            continue
        try:
            model = opened if opened and place == folder else from_pretrained(place, check=False)
            check_golden(folder, model)
        except InputError as error:
            yield f"{place.name}: {error}"

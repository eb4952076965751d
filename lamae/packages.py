"""Packages that an installation may lack: those of the extras of pyproject.toml."""

import importlib
import importlib.metadata
import importlib.util
import re
from typing import Any

from lamae.errors import InputError

NAME = "lamae"
TRAIN = "train"
"""The extra with all that trains, or builds shards."""

_OF_EXTRA = re.compile(r"""([\w.-]+).*extra\s*==\s*['"]([\w-]+)['"]""")
_OURS = ("lamae", "shards", "pretrain", "finetune")
_FOR_DEVELOPERS = "dev"


def import_package(name: str) -> Any:
    """Import a module of an optional package; raises InputError if that is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise missing_package(error) or error from None


def missing_package(error: ModuleNotFoundError) -> InputError | None:
    """Return a sentence on a package that is not installed; None where another thing is missing."""
    package = (error.name or "").partition(".")[0]
    if not package or package in _OURS or _is_installed(package):
        return None
    extra = extra_of(package)
    checkout = "make setup" if extra == TRAIN else f"pip install -e '.[{extra}]'"
    return InputError(
        f"package {package}",
        value="not installed",
        expected="an installation with it",
        remedy=f"pip install 'lamae[{extra}]', in a checkout {checkout}.",
    )


def extra_of(package: str) -> str:
    """Return the extra that brings a package, `train` where no smaller one does."""
    try:
        requirements = importlib.metadata.requires(NAME) or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []  # a checkout that was never installed
    found = [match.groups() for each in requirements if (match := _OF_EXTRA.match(each))]
    extras = {extra for name, extra in found if name.replace("-", "_") == package}
    return min(extras - {TRAIN, _FOR_DEVELOPERS}, default=TRAIN)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None

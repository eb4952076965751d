"""The verbs of a program, by name, so that none is imported before it is asked for."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple


class Verb(NamedTuple):
    """One thing that a program does."""

    settings: str
    """Class of its settings, `module:Class`."""
    run: str
    """Function of these settings, `module:function`; the lines it returns or yields are shown."""
    summary: str
    """A sentence."""
    example: str
    """Arguments that a user may give behind the name of the verb."""
    first: str | None = None
    """Setting that the first argument is where it comes without a name."""


class Program(NamedTuple):
    """A program: words that start it, and its verbs."""

    command: str
    """Words before the arguments, such as `python shards/main.py`."""
    summary: str
    """A sentence."""
    verbs: Mapping[str, Verb]
    """Each verb by its name; the first is done where none is named."""
    interrupted: str = "interrupted"
    """Said where the user interrupts a verb that has begun."""
    afterwards: str = "give the same command"
    """Advice for when a disk or folder that failed is mended."""

    @property
    def default(self) -> str:
        """Name of the verb that is done where none is named."""
        return next(iter(self.verbs))


def find(place: str) -> Any:
    """Import what `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)

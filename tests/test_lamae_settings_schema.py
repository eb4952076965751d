"""The words for settings: what help and reference say of them can be typed, and is true."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BeforeValidator, Field

from lamae.commands import find
from lamae.config import Settings, load_settings
from lamae.settings.schema import groups_of, keys_of

ROOT = Path(__file__).resolve().parents[1]
VERBS = {
    f"{program} {name}": verb
    for program in ("shards", "pretrain", "finetune")
    for name, verb in find(f"{program}.main:PROGRAM").verbs.items()
}


class Inner(Settings):
    """A section."""

    depth: int = Field(4, gt=0, le=9)
    """Layers."""
    needed: str
    """A text."""


class Outer(Settings):
    """A program's settings."""

    inner: Inner = Inner(depth=5, needed="here")
    """A section whose defaults are not those of its class."""
    maybe: Inner | None = None
    """A section, or none."""
    kind: Literal["a", "b"] | None = None
    """A choice,
    in two lines."""
    pair: tuple[float, float] = (0.9, 0.95)
    """Two numbers."""
    names: Annotated[tuple[str, ...], BeforeValidator(tuple)] = ("no", "1.0", "x")
    """Texts."""
    rate: int | None = Field(None, ge=50)
    """A number or none."""
    data: Path
    """A folder."""


def test_keys_are_named_with_their_types_defaults_and_sentences() -> None:
    assert [tuple(key) for key in keys_of(Outer)] == [
        ("data", "path", None, "A folder."),
        ("inner.depth", "integer > 0, <= 9", "5", "Layers."),
        ("inner.needed", "text", "here", "A text."),
        ("maybe", "section or null", "null", "A section, or none."),
        ("maybe.depth", "integer > 0, <= 9", "4", "Layers."),
        ("maybe.needed", "text", "", "A text."),
        ("kind", "a | b or null", "null", "A choice, in two lines."),
        ("pair", "[number, number]", "[0.9, 0.95]", "Two numbers."),
        ("names", "list of text", "['no', '1.0', x]", "Texts."),
        ("rate", "integer >= 50 or null", "null", "A number or none."),
    ]


def test_groups_hold_every_key_once_and_what_must_be_given_first() -> None:
    groups = groups_of(Outer)
    assert [group.title for group in groups] == ["must be given", "settings", "inner", "maybe"]
    assert sorted(key for group in groups for key in group.keys) == sorted(keys_of(Outer))


@pytest.mark.parametrize("name", VERBS)
def test_every_default_that_is_shown_can_be_typed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    verb = VERBS[name]
    schema = find(verb.settings)
    given = shlex.split(re.sub("[<>]", "", verb.example))
    if verb.first:
        given[0] = f"{verb.first}={given[0]}"
    keys = keys_of(schema)
    absent = tuple(f"{key.name}." for key in keys if key.kind.startswith("section"))
    defaults = [
        f"{key.name}={key.default}"
        for key in keys
        if key.default not in (None, "by this machine") and not key.name.startswith(absent)
    ]
    assert load_settings(schema, [*defaults, *given]) == load_settings(schema, given)

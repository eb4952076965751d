"""Sentences on settings that are wrong: the key, its value, and what was meant or expected."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from types import NoneType

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lamae.settings.schema import field_at, item_section_of, names_in, section_of, types_in

_MIN_LIKENESS = 0.7
_ELSEWHERE = 0.9
_MAX_NAMED = 3
_MAX_SHOWN = 80


def explain(schema: type[BaseModel], error: ValidationError, *, missing: bool = True) -> list[str]:
    """Return a sentence for each wrong key, and for each missing one if `missing`."""
    problems = [p for p in error.errors(include_url=False) if missing or p["type"] != "missing"]
    located = [(_path(schema, problem), problem) for problem in problems]
    return [
        _sentence(schema, path, [problem for _, problem in group])
        for path, group in groupby(located, key=lambda pair: pair[0])
    ]


def shown(value: object) -> str:
    """Return a value as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _sentence(schema: type[BaseModel], path: Sequence[str], problems: list[ErrorDetails]) -> str:
    key, first = ".".join(path), problems[0]
    if first["type"] == "missing":
        return f"{key}: missing. Give {key}=<value>."
    if first["type"] == "extra_forbidden":
        return _unknown(schema, path)
    if first["type"] == "model_type":
        return f"{key}: {shown(first['input'])} is no section. {_example(schema, path)}"
    messages = "; or ".join(dict.fromkeys(map(_message, problems)))
    said = messages if messages.endswith((".", "?", "!")) else f"{messages}."
    if isinstance(first["input"], Mapping | BaseModel):  # of a section as a whole
        return f"{key}: {said}" if key else said
    return f"{key}: {shown(first['input'])} is not valid: {said}"


def _message(problem: ErrorDetails) -> str:
    if problem["type"] == "tuple_type":
        return "Input should be a list, such as [a, b]"
    return problem["msg"].removeprefix("Value error, ")


def _example(schema: type[BaseModel], path: Sequence[str]) -> str:
    field = field_at(schema, path)
    section = section_of(field) if field else None
    name = next(iter(section.model_fields), "") if section else ""
    return f"Give its settings, such as {'.'.join([*path, name])}=<value>."


def _unknown(schema: type[BaseModel], path: Sequence[str]) -> str:
    key = ".".join(path)
    renamed = _renamed(schema, path)
    if renamed:
        return f"{key}: now named {renamed}. Give {renamed}=<value>."
    near = _nearest(schema, path)
    if near:
        return f"{key}: unknown key. Did you mean {' or '.join(near)}?"
    section = _sections(schema, path)[-1]
    return f"{key}: unknown key. Known here: {', '.join(section.model_fields)}."


def _renamed(schema: type[BaseModel], path: Sequence[str]) -> str | None:
    """Return the present name of a key, by `renamed` of a class around it or one of its bases."""
    for depth, section in enumerate(_sections(schema, path)):
        names: Mapping[str, str] = ChainMap(*(vars(c).get("renamed", {}) for c in section.__mro__))
        new = names.get(".".join(path[depth:]))
        if new:
            return ".".join([*path[:depth], new])
    return None


def _nearest(schema: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the names that may have been meant: the same in another section, or the most alike."""
    key, known = ".".join(path), list(names_in(schema))
    if any(part.isdecimal() for part in path):  # a key of an item
        known = [".".join([*path[:-1], n]) for n in _sections(schema, path)[-1].model_fields]
    same = [name for name in known if f".{name}".endswith(f".{key}")]
    same = same or [name for name in known if f".{name}".endswith(f".{path[-1]}")]
    if same:
        return same[:_MAX_NAMED]
    likeness = {name: _likeness(path, name.split(".")) for name in known}
    best = max(likeness, key=lambda name: likeness[name], default=None)
    return [best] if best is not None and likeness[best] >= _MIN_LIKENESS else []


def _likeness(path: Sequence[str], known: Sequence[str]) -> float:
    """Compare two names by their last words, less so where these are in different sections."""
    weight = 1.0 if list(path[:-1]) == list(known[:-1]) else _ELSEWHERE
    return weight * SequenceMatcher(None, path[-1], known[-1]).ratio()


def _sections(schema: type[BaseModel], path: Sequence[str]) -> list[type[BaseModel]]:
    """Return the settings classes that a path leads through, the outermost first."""
    sections = [schema]
    for part in path[:-1]:
        if part.isdecimal():  # the place of an item in its list
            continue
        field = sections[-1].model_fields.get(part)
        section = section_of(field) or item_section_of(field) if field else None
        if section is None:
            break
        sections.append(section)
    return sections


def _path(schema: type[BaseModel], problem: ErrorDetails) -> list[str]:
    """Return where a problem is, without pydantic's names for the types a field chooses from."""
    path: list[str] = []
    section: type[BaseModel] | None = schema
    chooses = False
    for part in problem["loc"]:
        field = section.model_fields.get(str(part)) if section else None
        if field is None and chooses:
            chooses = False
            continue
        path.append(str(part))
        if field is not None:
            section = section_of(field)
            chooses = len(set(types_in(field)) - {NoneType, None}) > 1
    return path

"""YAML of settings: what a file or an argument says, or a sentence on why it cannot be read."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.reader import ReaderError

_MAX_BYTES = 2**20
_MAX_LEVELS = 32
_NO_VALUE = (ValueError, LookupError, AttributeError, ArithmeticError, TypeError)
"""Errors of PyYAML's constructors for `2024-02-30`, `!!int x`, `!!bool x` or 6,000 digits."""


class YamlError(ValueError):
    """YAML that settings cannot be read from; the message is one sentence."""


class _Refused(yaml.MarkedYAMLError):
    """YAML that is valid and yet refused."""


class _StrictLoader(yaml.SafeLoader):
    """A SafeLoader without aliases, equal keys, deep nesting, and errors that are not YAML's."""

    _levels = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()
            problem = f"an alias, *{alias.anchor}: write out what it stands for"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=alias.start_mark)
        self._levels += 1
        if self._levels > _MAX_LEVELS:
            _refuse(f"more than {_MAX_LEVELS} levels", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._levels -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int | str):
                str(value).encode()  # can be written: no lone surrogate, not 6,000 digits
            return value
        except _NO_VALUE as error:
            kind = node.tag.rpartition(":")[2]
            problem = f"no {kind} ({error}): quote what is meant as text"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                _refuse("a key that is a list or a mapping: keys are words", key_node.start_mark)
            if key in seen:
                _refuse(f"{key}: given twice. Keep one of the two", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refuse(problem: str, mark: yaml.Mark) -> NoReturn:
    raise _Refused(problem=problem, problem_mark=mark)


def read_mapping(path: Path) -> dict[Any, Any]:
    """Return the keys and values of a file; raises YamlError."""
    content = _content(path)
    try:
        loaded = yaml.load(content, _StrictLoader)  # a SafeLoader
    except ReaderError as error:
        raise YamlError(
            f"{path}: not text in UTF-8, byte {error.position} ({error.reason}). "
            "Save it in the encoding UTF-8."
        ) from None
    except yaml.MarkedYAMLError as error:
        raise YamlError(f"{path}: {_sentence(error)}.") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise YamlError(f"{path}: holds {type(loaded).__name__}, expected keys with values.")
    return loaded


def parse(text: str) -> Any:
    """Return what an argument says, itself where it is no YAML; raises YamlError."""
    try:
        return yaml.load(text, _StrictLoader)
    except _Refused as error:
        raise YamlError(f"{error.problem}.") from None
    except yaml.YAMLError:
        return text


def _content(path: Path) -> bytes:
    """Read a file of a size that settings can have, and never wait for a pipe or device."""
    try:
        if not path.exists():
            raise YamlError(f"{path}: no such file. Check the path of the configuration.")
        if not path.is_file():
            raise YamlError(f"{path}: not a file. Give the path of a configuration.")
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise YamlError(f"{path}: cannot be read, {error.strerror}.") from None
    if len(content) > _MAX_BYTES:
        raise YamlError(f"{path}: over 1 MiB, too large for a configuration. Check the path.")
    return content


def _sentence(error: yaml.MarkedYAMLError) -> str:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    mark = error.problem_mark or error.context_mark
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return said + where if isinstance(error, _Refused) else f"not valid YAML: {said}{where}"

"""Arguments of a command line: `key=value`, `--key value`, `--key=value` and YAML files."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

YAML_SUFFIXES = (".yaml", ".yml")
_TRUTHS = ("true", "false", "yes", "no", "on", "off")


class Given(NamedTuple):
    """A setting as it was typed."""

    key: str
    """Its dotted name."""
    text: str
    """Its value."""


class Arguments(NamedTuple):
    """A command line, read from left to right."""

    given: list[Given | Path]
    """Settings and YAML files in their order."""
    problems: list[str]
    """A sentence on each argument that is neither."""


def read_arguments(arguments: Sequence[str], is_truth: Callable[[str], bool]) -> Arguments:
    """Read the arguments behind a verb; `--key` by itself is true where `is_truth(key)`."""
    left, read = deque(arguments), Arguments([], [])
    while left:
        word = left.popleft()
        if _blanks(word, left):
            read.problems.append(_join(word, left))
        elif word.startswith("--") and len(word) > 2:
            _read_option(word[2:], left, read, is_truth)
        elif "=" in word[1:]:
            key, _, text = word.partition("=")
            read.given.append(Given(key, text))
        elif word.endswith(YAML_SUFFIXES):
            read.given.append(Path(word))
        else:
            read.problems.append(
                f"{word}: not understood. Give a .yaml file, key=value or --key value."
            )
    return read


def _blanks(word: str, left: Sequence[str]) -> bool:
    """Tell `key = value`, `key =value` and `key= value` from settings and files."""
    following = left[0] if left else ""
    if "=" not in word:
        return following.startswith("=")
    return word.endswith("=") and bool(following) and not _stands_alone(following)


def _stands_alone(word: str) -> bool:
    return "=" in word[1:] or word.startswith("--") or word.endswith(YAML_SUFFIXES)


def _join(word: str, left: deque[str]) -> str:
    key, value = word.removesuffix("="), ""
    if not word.endswith("="):
        value = left.popleft().removeprefix("=")
    if not value and left and not _stands_alone(left[0]):
        value = left.popleft()
    return f"{key} = {value}: no blanks around =. Give {key.lstrip('-')}={value or '<value>'}"


def _read_option(
    option: str, left: deque[str], read: Arguments, is_truth: Callable[[str], bool]
) -> None:
    name, equals, text = option.partition("=")
    key = name.replace("-", "_")
    following = left[0] if left else None
    if equals:
        read.given.append(Given(key, text))
    elif is_truth(key) and (following is None or following.lower() not in _TRUTHS):
        read.given.append(Given(key, "true"))
    elif following is None or following.startswith("--") or "=" in following:
        read.problems.append(f"--{name}: no value. Give {key}=<value> or --{name} <value>.")
    else:
        read.given.append(Given(key, left.popleft()))

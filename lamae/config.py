"""Settings: a closed schema, read from a YAML file and `key=value` arguments."""

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, NoReturn, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError


def as_path(value: object) -> Path:
    """Return a path as it was given, `~` aside; raises ValueError for what is none."""
    if not isinstance(value, Path | str) or not str(value).strip():
        raise ValueError("expected a path; quote a name that YAML reads otherwise, or give ./name")
    if isinstance(value, str) and "://" in value:
        raise ValueError("expected a path; a URL is not understood here")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # no such user
        raise ValueError(str(error)) from None


FolderPath = Annotated[Path, BeforeValidator(as_path)]
"""A path; what YAML reads as a number, a truth value or nothing is none, and is refused."""


_NULLS = ("null", "~")


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, every field described."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class ConfigError(ValueError):
    """Every problem of a configuration, one per line."""


S = TypeVar("S", bound=Settings)


class _UniqueKeyLoader(yaml.SafeLoader):
    """yaml.SafeLoader keeps the last of two equal keys without a word; this one refuses."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConfigError(
                    f"{key}: given twice, again {key_node.start_mark}. Keep one of the two."
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_settings(schema: type[S], arguments: Sequence[str]) -> S:
    """Build settings from `[file.yaml] [key=value ...]`; later arguments win.

    Raises ConfigError that lists all problems, each with its dotted key.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        if "=" in argument:
            key, _, text = argument.partition("=")
            path = key.split(".")
            parse = _parse_path if _is_path(schema, path) else _parse_value
            _assign(values, path, parse(text))
        elif argument.endswith((".yaml", ".yml")):
            _merge(values, _read_yaml(Path(argument)))
        else:
            raise ConfigError(f"{argument}: not understood. Give a .yaml file or key=value.")
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = [_explain(schema, problem) for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def settings_from_command_line(schema: type[S], arguments: Sequence[str] | None = None) -> S:
    """Like `load_settings` for a program: prints problems and exits 2; knows --print-config."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    show = "--print-config" in arguments
    try:
        settings = load_settings(schema, [a for a in arguments if a != "--print-config"])
    except ConfigError as error:
        exit_with(f"configuration error\n{error}")
    if show:
        sys.stdout.write(as_yaml(settings))
        raise SystemExit(0)
    return settings


def exit_with(message: str, *, status: int = 2) -> NoReturn:
    """End the program with `message` on standard error; 2 is wrong input, 130 an interruption."""
    sys.stderr.write(f"{message}\n")
    raise SystemExit(status)


def as_yaml(settings: Settings) -> str:
    """Write settings, defaults included, as YAML that `load_settings` reads back."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.load(path.read_text(), _UniqueKeyLoader)  # a SafeLoader
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Check the path of the configuration.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(loaded, dict | NoneType):
        raise ConfigError(f"{path}: holds {type(loaded).__name__}, expected keys with values.")
    return loaded or {}


def _parse_value(text: str) -> Any:
    try:
        return yaml.load(text, _UniqueKeyLoader)
    except yaml.YAMLError:
        return text


def _parse_path(text: str) -> Any:
    """Keep a path as it was typed, so that 007 stays 007; `null` is None, `no` is refused."""
    value = _parse_value(text)
    if value is None:
        return None if text.strip().lower() in _NULLS else text
    return value if isinstance(value, bool | str) else text


def _is_path(schema: type[Settings], path: Sequence[str]) -> bool:
    field = _section(schema, path[:-1]).model_fields.get(path[-1])
    candidates = (field.annotation, *get_args(field.annotation)) if field else ()
    return Path in candidates or FolderPath in candidates


def _assign(values: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        if not isinstance(values.setdefault(part, {}), dict):
            values[part] = {}
        values = values[part]
    values[path[-1]] = value


def _merge(values: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _explain(schema: type[Settings], problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "missing":
        return f"{key}: missing. Give {key}=<value>."
    if problem["type"] == "extra_forbidden":
        known = list(_section(schema, location[:-1]).model_fields)
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        if near:
            return f"{key}: unknown key. Did you mean {'.'.join([*location[:-1], near[0]])}?"
        return f"{key}: unknown key. Known here: {', '.join(known)}."
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {problem['input']!r} is not valid: {message}."


def _section(schema: type[Settings], path: Sequence[str]) -> type[Settings]:
    for part in path:
        field = schema.model_fields.get(part)
        candidates = (field.annotation, *get_args(field.annotation)) if field else ()
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, Settings)]
        if not inner:
            break
        schema = inner[0]
    return schema

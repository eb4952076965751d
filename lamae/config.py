"""Settings: a closed schema, read from a YAML file and `key=value` arguments."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from lamae.settings.arguments import Given, read_arguments
from lamae.settings.problems import explain
from lamae.settings.schema import field_at, section_of, types_in
from lamae.settings.strict_yaml import YamlError, parse, read_mapping


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
    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions and what they are named now; each is refused with its new name."""


class ConfigError(ValueError):
    """Every problem of a configuration, one per line."""


S = TypeVar("S", bound=Settings)


def load_settings(schema: type[S], arguments: Sequence[str]) -> S:
    """Build settings from YAML files and `key=value` or `--key value`; later arguments win.

    Raises ConfigError that lists all problems, each with its dotted key.
    """
    values: dict[Any, Any] = {}
    given, problems = read_arguments(arguments, lambda key: _is(schema, key.split("."), bool))
    for item in given:
        try:
            if isinstance(item, Given):
                _assign(values, item.key.split("."), _value(schema, item))
            else:
                _merge(values, read_mapping(item))
        except YamlError as error:
            problems.append(str(error))
    try:
        settings = schema.model_validate(values)
    except ValidationError as error:
        problems.extend(explain(schema, error, missing=not problems))
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def as_yaml(settings: Settings) -> str:
    """Write settings, defaults included, as YAML that `load_settings` reads back."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def _value(schema: type[Settings], item: Given) -> Any:
    try:
        value = parse(item.text)
    except YamlError as error:
        raise YamlError(f"{item.key}: {error}") from None
    path = item.key.split(".")
    is_path = _is(schema, path, Path) and not (isinstance(value, list) and _is(schema, path, tuple))
    return _path_value(value, item.text) if is_path else value


def _path_value(value: Any, text: str) -> Any:
    """Keep a path as it was typed, so that 007 stays 007; `null` is None, `no` is refused."""
    if value is None:
        return None if text.strip().lower() in _NULLS else text
    return value if isinstance(value, bool | str) else text


def _is(schema: type[Settings], path: Sequence[str], kind: type) -> bool:
    field = field_at(schema, path)
    return field is not None and kind in [get_origin(each) or each for each in types_in(field)]


def _assign(values: dict[Any, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        if not isinstance(values.setdefault(part, {}), dict):
            values[part] = {}
        values = values[part]
    values[path[-1]] = value


def _merge(values: dict[Any, Any], new: dict[Any, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def read_settings(schema: type[S], saved: Mapping[str, Any]) -> S:
    """Return settings that a file of this or an earlier version holds, where keys had other names.

    Raises pydantic.ValidationError for others, TypeError for what is no mapping.
    """
    return schema.model_validate(with_present_names(schema, saved))


def with_present_names(schema: type[Settings], saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved settings under the names that they have now, in sections as well."""
    if not isinstance(saved, Mapping):
        raise TypeError(f"{type(saved).__name__} where a mapping of settings is expected")
    values = {schema.renamed.get(key, key): value for key, value in saved.items()}
    for name, field in schema.model_fields.items():
        section = section_of(field)
        if isinstance(values.get(name), Mapping) and section and issubclass(section, Settings):
            values[name] = with_present_names(section, values[name])
    return values

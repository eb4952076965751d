"""Settings that an earlier version saved, under the names that they have now."""

from collections.abc import Mapping
from typing import Any, get_args

from lamae.config import Settings


def with_present_names(saved: Mapping[str, Any], schema: type[Settings]) -> dict[str, Any]:
    """Rename the keys of saved settings, and of their sections, by `renamed` of each class."""
    found: dict[str, Any] = {}
    renamed: Mapping[str, str] = getattr(schema, "renamed", {})
    for key, value in saved.items():
        name = renamed.get(key, key)
        section = _section(schema, name)
        if section is not None and isinstance(value, Mapping):
            value = with_present_names(value, section)
        found[name] = value
    return found


def _section(schema: type[Settings], name: str) -> type[Settings] | None:
    field = schema.model_fields.get(name)
    types = (field.annotation, *get_args(field.annotation)) if field else ()
    sections = [t for t in types if isinstance(t, type) and issubclass(t, Settings)]
    return sections[0] if sections else None

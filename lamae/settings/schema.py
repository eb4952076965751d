"""The keys of a settings class: dotted name, type, default and sentence of each."""

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

_NAMES = {
    NoneType: "null",
    bool: "true | false",
    dict: "mapping",
    float: "number",
    int: "integer",
    str: "text",
}
_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_MACHINE = "by this machine"
_ANY_WIDTH = 2**20


class Key(NamedTuple):
    """One setting, as a user gives it."""

    name: str
    """Its name, with those of the sections it is in: `model.encoder.width`."""
    kind: str
    """Its type, choices or bounds, in words."""
    default: str | None
    """Its default in YAML; None where it must be given."""
    sentence: str
    """Its docstring."""


class Group(NamedTuple):
    """Settings that belong together."""

    title: str
    """Name of their section, or how needed they are."""
    sentence: str
    """Docstring of the section."""
    keys: list[Key]
    """The settings."""


def keys_of(schema: type[BaseModel]) -> list[Key]:
    """Return the settings of a class and of its sections, those that must be given first."""
    keys = list(_walk(schema, None, ""))
    return sorted(keys, key=lambda key: key.default is not None)


def groups_of(schema: type[BaseModel]) -> list[Group]:
    """Return the keys of a class in groups: those that must be given, the others, each section."""
    keys = keys_of(schema)
    given = [key for key in keys if key.default is None]
    left = [key for key in keys if key.default is not None]
    groups = [Group("must be given", "", given)]
    groups.append(Group("settings", "", [key for key in left if "." not in key.name]))
    for name, field in schema.model_fields.items():
        inside = [key for key in left if key.name.startswith(f"{name}.")]
        groups.append(Group(name, _sentence(field), inside))
    return [group for group in groups if group.keys]


def names_in(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings and sections."""
    for name, field in schema.model_fields.items():
        yield prefix + name
        section = section_of(field)
        if section is not None:
            yield from names_in(section, f"{prefix}{name}.")


def field_at(schema: type[BaseModel], path: Sequence[str]) -> FieldInfo | None:
    """Return the field of a dotted name, or None if there is none."""
    section: type[BaseModel] | None = schema
    field = None
    for part in path:
        field = section.model_fields.get(part) if section is not None else None
        if field is None:
            return None
        section = section_of(field)
    return field


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the settings class that a field holds, itself or beside null."""
    for choice in types_in(field):
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return choice
    return None


def item_section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the settings class of the items of a list that a field may hold."""
    for choice in types_in(field):
        for item in get_args(choice):
            if isinstance(item, type) and issubclass(item, BaseModel):
                return item
    return None


def types_in(field: FieldInfo) -> list[Any]:
    """Return the types between which a field chooses, without what is annotated to them."""
    return list(_flat(field.annotation))


def _flat(annotation: Any) -> Iterator[Any]:
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    choices = _choices(bare)
    if len(choices) == 1:
        yield bare
    else:
        yield from (kind for choice in choices for kind in _flat(choice))


def _walk(schema: type[BaseModel], defaults: BaseModel | None, prefix: str) -> Iterator[Key]:
    for name, field in schema.model_fields.items():
        section = section_of(field)
        value = field.default if defaults is None else getattr(defaults, name)
        if section is None or value is None:
            yield Key(f"{prefix}{name}", _kind(field), _default(field, value), _sentence(field))
        if section is not None:
            inner = value if isinstance(value, section) else None
            for key in _walk(section, inner, f"{prefix}{name}."):
                needed = key.default is not None or field.is_required()
                yield key if needed else key._replace(default="")


def _sentence(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _default(field: FieldInfo, value: Any) -> str | None:
    if field.default_factory is not None:
        return _MACHINE
    if value is PydanticUndefined:
        return None
    plain = to_jsonable_python(value)
    return yaml.safe_dump(plain, default_flow_style=True, width=_ANY_WIDTH).splitlines()[0]


def _kind(field: FieldInfo) -> str:
    return _words(field.annotation, field.metadata)


def _words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _words(inner, [*metadata, *more])
    choices = _choices(annotation)
    if len(choices) > 1:
        words = [_words(choice, () if choice is NoneType else metadata) for choice in choices]
        return " or ".join(dict.fromkeys(words))
    return " ".join([_name(annotation), ", ".join(_bounds(metadata))]).strip()


def _name(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        first, *others = get_args(annotation)
        if others == [...]:
            return f"list of {_item(first)}"
        return f"[{', '.join(map(_words, (first, *others)))}]"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    kind = get_origin(annotation) or annotation
    return _NAMES.get(kind) or getattr(kind, "__name__", str(kind)).lower()


def _item(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"{{{', '.join(annotation.model_fields)}}}"
    return _words(annotation)


def _bounds(metadata: Sequence[Any]) -> Iterator[str]:
    for item in metadata:
        for name, sign in _BOUNDS.items():
            bound = getattr(item, name, None)
            if bound is not None:
                yield f"{sign} {bound}"


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    return (annotation,)

"""Sampling rate, leads and unit of a recording, as its JSON or its row states them."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from lamae.ecg.units import units_per_mv
from lamae.errors import InputError, RecordError
from lamae.readers.arrays.array_layout import ArrayLayout
from shards.foreign.settings import FieldSettings

SIGNALS = (
    "signal", "signals", "ecg", "ecg_signal", "tracing", "tracings", "waveform", "waveforms",
    "recording", "values",
)  # fmt: skip
"""Columns of signals, the first that a dataset has."""
_USUAL = {
    "signal": SIGNALS,
    "sampling_rate": ("sampling_rate", "sampling_frequency", "sample_rate", "fs", "rate"),
    "leads": ("leads", "lead_names", "lead", "sig_name", "channels", "channel_names"),
    "unit": ("unit", "units"),
}
_UNITS: Mapping[float, str] = {1.0: "mV", 1000.0: "uV", 0.001: "V"}
_LONGEST_JSON = 2**16


class SignalFields(NamedTuple):
    """Names of the fields that a signal needs; None of those that are not there."""

    signal: str | None
    sampling_rate: str | None
    leads: str | None
    unit: str | None


def find_fields(
    names: Collection[str], settings: FieldSettings, *, thing: str, of_signals: bool
) -> SignalFields:
    """Return the fields that the settings name, or else those of usual names.

    `of_signals` is False where signals are no field. Raises InputError, about `thing`, for a field
    that is named and not there.
    """
    found: dict[str, str | None] = dict.fromkeys(SignalFields._fields)
    for kind, usual in _USUAL.items():
        given = getattr(settings, kind)
        if kind == "signal" and not of_signals:
            continue
        if given is not None and given not in names:
            raise InputError(
                thing,
                value=f"no field {given!r}, which fields.{kind} names",
                expected=f"one of {', '.join(sorted(names)) or 'none'}",
                remedy=f"Correct fields.{kind}.",
            )
        found[kind] = given or next((name for name in usual if name in names), None)
    return SignalFields(**found)


def without_signal_facts(fields: Mapping[str, Any], settings: FieldSettings) -> dict[str, Any]:
    """Return fields without those of rate, leads and unit, which the record has."""
    usual = (name for kind in ("sampling_rate", "leads", "unit") for name in _USUAL[kind])
    facts = {settings.sampling_rate, settings.leads, settings.unit, *usual}
    return {name: value for name, value in fields.items() if name not in facts}


def flattened(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names and values; those within a mapping, or a JSON text of one, have dotted names."""
    for name, value in fields.items():
        value = _parsed(value)
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", plain(value)


def _parsed(value: Any) -> Any:
    """Return the mapping in a text that is JSON of one: what is of many kinds is kept so."""
    if not isinstance(value, str) or not value.startswith("{") or len(value) > _LONGEST_JSON:
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, dict) else value


def plain(value: Any) -> Any:
    """Return numbers, texts and lists of Python's for those of numpy."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def layout_of(
    facts: Mapping[str, Any], fields: SignalFields, arrays: ArrayLayout, *, name: str
) -> ArrayLayout:
    """Return the layout of one recording; a rate in `arrays` goes before that of the sample.

    Raises RecordError for a rate, leads or a unit that are none.
    """
    rate, leads, unit = (
        None if field is None else facts.get(field)
        for field in (fields.sampling_rate, fields.leads, fields.unit)
    )
    given = arrays.model_dump()
    if arrays.sampling_rate is None and rate not in (None, "") and rate == rate:  # no NaN
        given["sampling_rate"] = _whole(rate)
    if leads:
        given["leads"] = tuple(_names(leads))
    if unit not in (None, ""):
        given["unit"] = _UNITS.get(units_per_mv(str(unit)) or 0.0, unit)
    try:
        return ArrayLayout.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        field = str(problem["loc"][0])
        raise RecordError(
            f"recording {name}",
            reason=f"unreadable_{field}",
            value=f"{problem['input']!r} as {field}",
            expected={"unit": "mV, uV or V", "leads": "names of leads"}.get(
                field, "whole samples per second, in digits"
            ),
            remedy=f"Correct it, or give arrays.{field}.",
        ) from None


def _whole(rate: Any) -> Any:
    """Return a rate such as 500.0 or '500' as the whole number that it is, another as it is."""
    try:
        number = float(rate)
    except (TypeError, ValueError):
        return repr(rate)
    return int(number) if number.is_integer() else number


def _names(leads: Any) -> Iterable[str]:
    """Return the names in a list, or in a text that commas, semicolons or blanks divide."""
    if isinstance(leads, str):
        return leads.replace(",", " ").replace(";", " ").split()
    return [str(lead) for lead in leads] if isinstance(leads, list | tuple) else [repr(leads)]

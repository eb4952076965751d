"""SCP-ECG, ISHNE, MFER and Kardia, read by ecgdatakit."""

import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from lamae.ecg.record import MISSING, About, Reading
from lamae.readers.hospital.channels import (
    Channel,
    FormatError,
    UnsupportedError,
    check_size,
    read_channels,
    refusing,
)
from lamae.readers.hospital.person import age_of, sex_of
from lamae.readers.read_options import ReadOptions
from lamae.readers.traces import MAX_SAMPLES

_PARSERS = "ecgdatakit.parsing.parsers"


class OtherFormat(NamedTuple):
    """A format of ecgdatakit."""

    title: str
    """Its name for people."""
    module: str
    """Module of ecgdatakit that reads it."""
    parser: str
    """Class in the module."""
    max_bytes: int
    """Largest file that is read: what it becomes in memory, and how long that takes, follow."""


FORMATS: Mapping[str, OtherFormat] = MappingProxyType(
    {
        "scp": OtherFormat("SCP-ECG", "scp_ecg", "SCPECGParser", 2**22),
        "ishne": OtherFormat("ISHNE Holter", "ishne_holter", "ISHNEHolterParser", 2**27),
        "mfer": OtherFormat("MFER", "mfer", "MFERParser", 2**24),
        "kardia": OtherFormat("Kardia JSON", "alivecor_kardia", "AliveCorKardiaParser", 2**24),
    }
)


_VARIANTS = {
    "12L": "a Kardia 12L recording",
    "bimodal": "rhythm with fewer samples between the beats (bimodal compression)",
    "Section 12": "long-term rhythm of SCP-ECG 3 (section 12)",
    "encrypted": "encrypted samples",
}
"""Variants that are not read, by words of ecgdatakit, whose messages may quote a file."""


def read(path: Path, options: ReadOptions, *, name: str) -> Reading:
    """Read a file of one of `FORMATS`; raises RecordError."""
    form = FORMATS[name]
    with refusing(path, format_name=form.title):
        check_size(path, max_bytes=form.max_bytes)
        parser = getattr(importlib.import_module(f"{_PARSERS}.{form.module}"), form.parser)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            record = _parsed(parser(), path)
        notes = _checksum_notes(caught, options)
        channels = [
            _channel(lead, before=late, marked=name == "ishne")
            for lead, late in zip(record.leads, _late(record.leads), strict=True)
        ]
        return read_channels(path, channels, options, about=_about(record), notes=notes)


def _parsed(parser: Any, path: Path) -> Any:
    from ecgdatakit.exceptions import UnsupportedFormatError

    try:
        return parser.parse(path)
    except UnsupportedFormatError as error:
        message = str(error).replace(str(path), "")
        named = (variant for word, variant in _VARIANTS.items() if word in message)
        raise UnsupportedError(next(named, "a variant that is not read")) from None


def _checksum_notes(caught: list[warnings.WarningMessage], options: ReadOptions) -> list[str]:
    if not any(warning.category.__name__ == "ChecksumWarning" for warning in caught):
        return []
    if options.checksums == "strict":
        raise FormatError("another checksum than it states; checksums=warn keeps it")
    return ["The checksum is not that of the file."]


def _channel(lead: Any, *, before: int, marked: bool) -> Channel:
    """Return a lead; `before` samples of the recording it has not, and -32768 may mark others."""
    if not lead.resolution:
        raise FormatError("a lead without a scale")
    values = np.asarray(lead.samples)
    missing = np.isnan(values) | (values == MISSING) if marked else np.isnan(values)
    values = np.pad(np.where(missing, 0, values), (before, 0))
    missing = np.pad(missing, (before, 0), constant_values=True)
    zero, rate = -lead.offset / lead.resolution, float(lead.sampling_rate)
    unit = lead.resolution_unit or "no unit"
    return Channel(lead.label, values, lead.resolution, unit, rate, zero=zero, missing=missing)


def _late(leads: list[Any]) -> list[int]:
    """Return by how many samples each lead begins behind the first."""
    starts = [int(lead.annotations.get("start_sample", 1)) for lead in leads]
    late = [start - min(starts) for start in starts]
    if max(late, default=0) > MAX_SAMPLES:
        raise FormatError(f"a lead that begins {max(late)} samples late")
    return late


def _about(record: Any) -> About:
    person = record.patient
    sex, age = sex_of(person.sex), age_of(person.age)
    return About(person.patient_id or None, age, sex, record.recording.date)

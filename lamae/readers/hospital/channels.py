"""Channels as the files of hospitals describe them become a reading."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from lamae.ecg.leads import RepeatedLeadError, find_leads
from lamae.ecg.record import MISSING, About, Reading
from lamae.ecg.units import units_per_mv
from lamae.errors import InputError
from lamae.readers.quantise import REASONS as QUANTISE_REASONS
from lamae.readers.quantise import quantise
from lamae.readers.read_options import ReadOptions
from lamae.readers.regular_files import file_size
from lamae.readers.traces import MAX_SAMPLES, Trace, join_traces, refuse
from lamae.readers.traces import REASONS as TRACE_REASONS

REASONS = (
    "missing_package",
    "unreadable_file",
    "unsupported_format",
    "duplicate_lead",
    "no_standard_lead",
    "unknown_units",
    *TRACE_REASONS,
    *QUANTISE_REASONS,
)
"""Every reason that a RecordError of this folder can have."""

REMEDY = "Run pip install 'lamae[hospital]'."
_LARGEST_INTEGER = 2**31 - 1


class Channel(NamedTuple):
    """A channel of a file."""

    name: str
    """Name in the file, which may be that of a lead."""
    values: np.ndarray
    """Integers (samples,) as they are stored, or floats of which NaN is a missing sample."""
    step: float
    """Size of one integer in `unit`."""
    unit: str
    """Physical unit."""
    sampling_rate: float
    """Samples per second."""
    zero: float = 0.0
    """The stored value, or what lies between two, at 0 of the unit."""
    missing: np.ndarray | None = None
    """bool (samples,): True where a sample is missing; None where none is."""


class FormatError(ValueError):
    """A file is not as its format says; the message holds nothing of what it says of a person."""


class UnsupportedError(FormatError):
    """A file is of a variant of its format that is not read; the message names it."""


@contextmanager
def refusing(path: Path, *, format_name: str) -> Iterator[None]:
    """Turn what a library raises on a file into the RecordError of a recording.

    The words of a library are not repeated: they may quote the file, and so a person.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RepeatedLeadError as error:
        refuse(str(path), "duplicate_lead", value=error.value, expected="each lead once")
    except InputError:
        raise
    except ImportError as error:
        value, expected = f"no package {error.name}", f"the package that reads {format_name}"
        refuse(str(path), "missing_package", value=value, expected=expected, remedy=REMEDY)
    except UnsupportedError as error:
        expected, remedy = f"another variant of {format_name}", "Export it in another format."
        refuse(str(path), "unsupported_format", value=str(error), expected=expected, remedy=remedy)
    except FormatError as error:
        _unreadable(path, str(error), format_name)
    except Exception as error:  # libraries raise all kinds of a file that is not what they expect
        _unreadable(path, type(error).__name__, format_name)


def check_size(path: Path, *, max_bytes: int) -> None:
    """Raise FormatError for a larger file, and for what is no file, whose reading might not end."""
    size = file_size(path)
    if size is None:
        raise FormatError("no such file")
    if size > max_bytes:
        raise FormatError(f"{size} bytes, more than {max_bytes}")


def read_channels(
    path: Path,
    channels: Sequence[Channel],
    options: ReadOptions,
    *,
    about: About,
    notes: Sequence[str] = (),
) -> Reading:
    """Make a reading of channels: the standard leads, the names of the others dropped.

    To be called within `refusing`.
    """
    thing = str(path)
    found = find_leads([channel.name for channel in channels], options.leads_as)
    if not found.rows:
        value = f"channels {', '.join(channel.name for channel in channels)[:200] or 'none'}"
        expected = "at least one of the twelve leads; leads_as names others"
        refuse(thing, "no_standard_lead", value=value, expected=expected)
    traces = [_trace(lead, channels[row], options, thing) for lead, row in found.rows.items()]
    joined = join_traces(traces, name=path.stem, thing=thing, about=about)
    all_notes = (*notes, *found.notes, *joined.notes)
    return Reading(joined.record, (path,), found.dropped, all_notes)


def _trace(lead: str, channel: Channel, options: ReadOptions, thing: str) -> Trace:
    unit = options.unit or channel.unit
    per_mv = units_per_mv(unit)
    if per_mv is None:
        value = f"{unit[:20]!r} of lead {lead}"
        refuse(thing, "unknown_units", value=value, expected="mV, uV or V; unit= gives one")
    if not (math.isfinite(channel.step) and channel.step and math.isfinite(channel.zero)):
        value = f"a step of {channel.step:g} {unit} around {channel.zero:g} in lead {lead}"
        refuse(thing, "implausible_gain", value=value, expected="a finite scale")
    if len(channel.values) > MAX_SAMPLES:
        expected = f"at most {MAX_SAMPLES}"
        refuse(thing, "too_many_samples", value=f"{len(channel.values)} samples", expected=expected)
    gain, values, missing = per_mv / channel.step, channel.values, channel.missing
    if values.dtype.kind == "f":
        gone = np.isnan(values) if missing is None else missing | np.isnan(values)
        known = values[~gone]
        if not np.array_equal(known, np.rint(known)) or np.abs(known).max(initial=0) > 2**31:
            floats = np.where(gone, np.nan, (values - channel.zero) / gain)
            scaled = quantise(floats[None], name=thing)
            return Trace(
                lead, scaled.digital[0], scaled.gain[0], scaled.baseline[0], channel.sampling_rate
            )
        values, missing = np.where(gone, 0, values).astype(np.int64), gone
    if values.dtype != np.int16:
        missing = np.zeros(len(values), bool) if missing is None else missing
    elif missing is None and (values == MISSING).any():
        missing = np.zeros(len(values), bool)  # the lowest integer is one like others here
    return Trace(lead, values, gain, channel.zero, channel.sampling_rate, missing)


def _unreadable(path: Path, value: str, format_name: str) -> NoReturn:
    remedy = "Export it again, or leave it out."
    refuse(
        str(path), "unreadable_file", value=value, expected=f"{format_name}, whole", remedy=remedy
    )

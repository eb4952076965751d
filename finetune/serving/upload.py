"""A request's body becomes a recording; what must lie on disk for that is removed at once."""

import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from lamae.ecg.record import Reading
from lamae.errors import InputError
from lamae.readers.any_file import read_file
from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.formats import FORMATS, format_of
from lamae.readers.read_options import ReadOptions
from lamae.readers.record_from import record_from
from lamae.readers.regular_files import first_bytes

MAX_BYTES = 16 * 2**20
"""Largest body of a request."""
MAX_FILES = 16
"""Most files of one recording."""
MAX_DURATION_S = 3600.0
"""Longest recording that is answered."""
MAX_VALUES = 12 * 1_000_000
"""Most samples of all leads of a recording that is answered."""

_NAME = re.compile(r"[^\x00-\x1f/\\\x7f]{1,120}")
_SPOOL_BYTES = 2 * MAX_BYTES


class TooLargeError(InputError):
    """A body with more bytes than are taken."""

    def __init__(self) -> None:
        """Say how many are."""
        expected = f"at most {MAX_BYTES / 2**20:g} MB"
        remedy = "Send one recording at a time, and of a long one a part."
        super().__init__("request", value="a larger body", expected=expected, remedy=remedy)


class SentFile(NamedTuple):
    """A file of a request."""

    name: str
    """Without folders."""
    content: bytes
    """All of it."""


class Upload(NamedTuple):
    """A recording as it was sent: files, or JSON."""

    files: tuple[SentFile, ...] = ()
    """Files of one recording, such as .hea and .dat of WFDB."""
    sampling_rate: str | None = None
    """Samples per second where the files do not state it, as it was typed."""
    unit: str | None = None
    """Unit of the values, whatever the files say."""
    json: bytes = b""
    """A body of JSON, where no file was sent."""


class Samples(BaseModel):
    """A recording as numbers."""

    model_config = ConfigDict(extra="forbid")

    samples: list[list[float | None]] = Field(min_length=1)
    """A list for each lead; null where a sample is missing."""
    sampling_rate: float = Field(gt=0)
    """Samples per second."""
    leads: list[str] | None = None
    """Names in the order of the samples; the twelve standard leads by default."""
    unit: str = "mV"
    """mV, uV, V or nV."""


async def bounded(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass a body on; raises TooLargeError once it has too many bytes."""
    total = 0
    async for chunk in stream:
        total += len(chunk)
        if total > MAX_BYTES:
            raise TooLargeError
        yield chunk


async def receive(headers: Headers, stream: AsyncIterator[bytes]) -> Upload:
    """Take a body; raises InputError for one that is too large or of another type."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return Upload(json=b"".join([chunk async for chunk in bounded(stream)]))
    if kind == "multipart/form-data":
        return await _receive_form(headers, stream)
    raise InputError(
        "content-type",
        value=repr(kind[:60]),
        expected="multipart/form-data with files, or application/json with samples",
        remedy="Send one of them; /openapi.json describes both.",
    )


def read_upload(upload: Upload) -> tuple[Reading, str]:
    """Return the recording that was sent, and the title of its format; raises InputError."""
    reading, title = _read_files(upload) if upload.files else _read_json(upload.json)
    record = reading.record
    if record.duration_s > MAX_DURATION_S or record.digital.size > MAX_VALUES:
        raise InputError(
            "recording",
            value=f"{record.duration_s:.0f} s of {len(record.leads)} leads",
            expected=f"at most {MAX_DURATION_S:.0f} s and {MAX_VALUES:,} samples in all",
            remedy="Send a part of it, or use the verb predict.",
        )
    return reading, title


async def _receive_form(headers: Headers, stream: AsyncIterator[bytes]) -> Upload:
    parser = _InMemory(headers, bounded(stream), max_files=MAX_FILES, max_fields=8)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
        sent = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        files = tuple([SentFile(_safe_name(one.filename), await one.read()) for one in sent])
    except InputError:
        raise
    except MultiPartException as error:
        raise _malformed(error.message) from None
    except (ValueError, LookupError, AttributeError) as error:
        raise _malformed(type(error).__name__) from error
    finally:
        parser.close()
    if not files or not any(file.content for file in files):
        raise InputError(
            "request", value="no file", expected="a recording", remedy="Send its file or files."
        )
    return Upload(files, _text(form.get("sampling_rate")), _text(form.get("unit")))


class _InMemory(MultiPartParser):
    """A parser whose parts never become files on disk."""

    spool_max_size = _SPOOL_BYTES

    def close(self) -> None:
        """Let go of all parts, finished or not."""
        for file in self._files_to_close_on_error:
            file.close()


def _malformed(reason: str) -> InputError:
    return InputError(
        "request", value=reason, expected="a form with files", remedy="Send multipart/form-data."
    )


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _safe_name(name: str | None) -> str:
    """Return a name that is that of a file in any folder; raises InputError for another."""
    last = re.split(r"[/\\]", name or "")[-1]
    if not _NAME.fullmatch(last) or last.startswith(".") or len(last.encode()) > 240:
        raise InputError(
            "name of a file",
            value=ascii(last[:40]),
            expected="1 to 120 characters, the first no dot",
            remedy="Rename it.",
        )
    return last


def _read_files(upload: Upload) -> tuple[Reading, str]:
    options = _options(upload)
    names = [file.name for file in upload.files]
    if len(set(names)) < len(names):
        raise _not_one("two files of the same name")
    with tempfile.TemporaryDirectory(prefix="lamae-") as place:
        folder = Path(place)
        for file in upload.files:
            (folder / file.name).write_bytes(file.content)
        try:
            path = _main_file([folder / name for name in names])
            reading = read_file(path, options)
            title = FORMATS[format_of(path) or ""].title
        except InputError as error:
            raise SenderError(str(error).replace(f"{place}/", "")) from None
        # A copy: an array may be a window on the file, which goes with its folder.
        record = replace(reading.record, digital=np.array(reading.record.digital), name=path.name)
        return reading._replace(record=record, files=()), title


class SenderError(InputError):
    """An error whose message names files as the sender does."""

    def __init__(self, message: str) -> None:
        """Take a message as it is."""
        ValueError.__init__(self, message)


def _options(upload: Upload) -> ReadOptions:
    try:
        rate = None if upload.sampling_rate is None else int(upload.sampling_rate)
        unit = upload.unit
        arrays = ArrayLayout.model_validate({"sampling_rate": rate})
    except (ValidationError, ValueError):
        raise InputError(
            "sampling_rate",
            value=repr((upload.sampling_rate or "")[:20]),
            expected="samples per second, a whole number from 50 to 10000",
            remedy="Give the rate of the recording.",
        ) from None
    if unit not in (None, "mV", "uV", "V"):
        raise InputError(
            "unit", value=repr(unit[:20]), expected="mV, uV or V", remedy="Give one of them."
        )
    return ReadOptions(unit=unit, arrays=arrays)


def _main_file(paths: list[Path]) -> Path:
    """Return the file by which a recording is read: its header, where it has one."""
    headers = [path for path in paths if path.suffix.lower() == ".hea"]
    if len(headers) > 1:  # of several segments: the header that lists them has a slash
        headers = [path for path in headers if b"/" in first_bytes(path, 400).partition(b"\n")[0]]
    if len(headers) == 1:
        return headers[0]
    if len(paths) == 1:
        return _checked(paths[0])
    known = [path for path in paths if format_of(path) is not None]
    if len(known) != 1:
        raise _not_one(f"{len(paths)} files")
    return known[0]


def _checked(path: Path) -> Path:
    """Return a file; raises InputError that names the remedy for one whose header is missing."""
    if path.suffix.lower() == ".dat" and format_of(path) is None:
        raise InputError(
            path.name,
            value="signals of WFDB without their header",
            expected="the .hea file with it",
            remedy="Drop both files at once.",
        )
    return path


def _not_one(value: str) -> InputError:
    return InputError(
        "files",
        value=value,
        expected="those of one recording: one file, or .hea and .dat of WFDB",
        remedy="Drop one recording at a time.",
    )


def _read_json(body: bytes) -> tuple[Reading, str]:
    try:
        sent = Samples.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][:2]) or "body"
        raise InputError(
            f"JSON, {place}",
            value=first["msg"],
            expected="samples (a list for each lead), sampling_rate, leads, unit",
            remedy="See /openapi.json.",
        ) from None
    if len({len(row) for row in sent.samples}) > 1:
        raise InputError(
            "samples",
            value="lists of different lengths",
            expected="as many samples in each lead",
            remedy="Fill up with null what was not recorded.",
        )
    signal = np.array(sent.samples, dtype=np.float64)
    record = record_from(
        signal, sampling_rate=sent.sampling_rate, leads=sent.leads, unit=sent.unit, name="samples"
    )
    return Reading(record, ()), "JSON"

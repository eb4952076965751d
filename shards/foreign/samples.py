"""A sample of a tar becomes a record: its members are written out and read as files."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from lamae.ecg.record import Reading
from lamae.errors import RecordError
from lamae.readers.any_file import read_file
from lamae.readers.formats import format_of
from lamae.readers.read_options import ReadOptions
from shards.foreign.facts import find_fields, flattened, layout_of
from shards.foreign.settings import FieldSettings
from shards.foreign.tar_files import Tar, TarSample, open_tar

TEXTS = ("cls", "id", "txt")
"""Endings of members whose text is one field."""

_HEADER, _JSON, _NPZ, _OURS = "hea", "json", "npz", "ecg"
_LONGEST_TEXT = 2**12
_MAX_ARRAY = 2**28


def fields_of(tar: Tar, sample: TarSample) -> dict[str, Any]:
    """Return what the JSON and the short texts of a sample say; raises RecordError for damage."""
    found: dict[str, Any] = {}
    for ending, place in sample.members.items():
        if ending == _JSON or ending.endswith(f".{_JSON}"):
            prefix = "" if ending == _JSON else f"{ending.removesuffix(f'.{_JSON}')}."
            found |= dict(flattened(_json(tar, sample, ending), prefix))
        elif ending in TEXTS and place.size <= _LONGEST_TEXT:
            found[ending] = tar.read(sample, ending).decode(errors="replace").strip()
    return found


def _json(tar: Tar, sample: TarSample, ending: str) -> Mapping[str, Any]:
    try:
        content = json.loads(tar.read(sample, ending))
    except (ValueError, RecursionError) as error:
        _refuse(sample.key, "unreadable_json", f"{type(error).__name__} in .{ending}", "JSON")
    return content if isinstance(content, dict) else {"json": content}


def is_field(ending: str) -> bool:
    """Return True for a member that is JSON or a short text."""
    return ending in TEXTS or ending == _JSON or ending.endswith(f".{_JSON}")


def read_sample(path: Path, number: int, options: ReadOptions, fields: FieldSettings) -> Reading:
    """Read sample `number` of a tar; raises RecordError.

    The file of a tar is not named in `Reading.files`: its checksum would be that of many.
    """
    tar = open_tar(path)
    sample = tar.samples[number]
    said = fields_of(tar, sample)
    found = find_fields(said, _usual(fields, said), thing=sample.key, of_signals=False)
    layout = layout_of(said, found, options.arrays, name=sample.key)
    with TemporaryDirectory() as folder:
        try:
            file = _write_out(tar, sample, Path(folder), fields.signal)
            reading = read_file(file, options._replace(arrays=layout))
        except RecordError as error:  # its words must not tell of this machine
            error.args = (str(error).replace(f"{folder}/", ""),)
            raise
        except OSError as error:
            _refuse(
                sample.key, "unreadable_member", str(error.strerror), "names that a file can have"
            )
    record = replace(reading.record, name=sample.key)
    return reading._replace(record=record, files=())


def _usual(fields: FieldSettings, said: Mapping[str, Any]) -> FieldSettings:
    """Return the settings without the fields that one sample lacks, though others have them."""
    absent = {
        name for name in ("sampling_rate", "leads", "unit") if getattr(fields, name) not in said
    }
    return fields.model_copy(update=dict.fromkeys(absent))


def _write_out(tar: Tar, sample: TarSample, folder: Path, signal: str | None) -> Path:
    """Write the members of a sample that may be signals, and return the one to read."""
    stem = PurePosixPath(sample.key).name
    endings = [ending for ending in sample.members if not is_field(ending)]
    for ending in endings:
        content = tar.read(sample, ending)
        if ending == _NPZ:
            content = _only_array(content, sample.key)
        (folder / f"{stem}.{ending}").write_bytes(content)
    if signal is not None:
        if (ending := signal.casefold().lstrip(".")) in endings:
            return folder / f"{stem}.{ending}"
        _refuse(sample.key, "no_signal", f"no member .{ending}", "one of that ending")
    if _HEADER in endings:
        return folder / f"{stem}.{_HEADER}"
    readable = [e for e in endings if format_of(folder / f"{stem}.{e}") is not None]
    if len(readable) == 1:
        return folder / f"{stem}.{readable[0]}"
    value = f"members {', '.join(f'.{ending}' for ending in sample.members)}"
    if _OURS in endings and not readable:
        remedy = "It is a shard of this program: give the whole folder, or build it with codec=npy."
        _refuse(sample.key, "no_signal", value, "a recording in a format of others", remedy)
    if readable:
        _refuse(sample.key, "several_signals", value, "one recording", "Name it in fields.signal.")
    _refuse(sample.key, "no_signal", value, "a recording in a format that is read")


def _only_array(content: bytes, name: str) -> bytes:
    """Return the .npy file of the only array of a .npz archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = [each for each in archive.infolist() if each.filename.endswith(".npy")]
            if len(inside) == 1 and inside[0].file_size <= _MAX_ARRAY:
                return archive.read(inside[0])
            found = f"arrays {', '.join(each.filename[:40] for each in inside) or 'none'}"
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        found = f"{type(error).__name__}: {error}"
    _refuse(name, "unreadable_member", found, f"one array of at most {_MAX_ARRAY} bytes in .npz")


def _refuse(
    key: str, reason: str, value: str, expected: str, remedy: str = "Leave it out."
) -> NoReturn:
    raise RecordError(
        f"recording {key}", reason=reason, value=value, expected=expected, remedy=remedy
    )

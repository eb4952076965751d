"""Traces of people and machines in documents: removed by a release, searched for by `check`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

_PLACE = re.compile(
    r"(?<![\w.~:/\\<-])(?:~|(?:file|s3|gs|gcs|abfs|az|sftp|ssh)://)?(?:/[\w.+@%=-]+)+/?"
    r"|\b(?:file|s3|gs|gcs|abfs|az|sftp|ssh)://[\w.+@%=/:-]+"
    r"|\b[A-Za-z]:\\[\w.\\ -]+"
)
"""An absolute path, or a place on a store: it names a person's folder or a hospital's server."""
_RECORDING = re.compile(r"\b(?:\d{5}_[lh]r|[ps][1-9]\d{7}|(?:HR|JS)\d{5})\b")
"""A recording, patient or study of PTB-XL, MIMIC-IV-ECG or the Challenges, by its key."""
_KEYS_OF = {"unusable"}
"""Under these names a summary lists recordings by their keys."""
_EXAMPLES = {"example"}
"""Under these names it has the key of one."""


def without_traces(content: Any, name: str = "") -> Any:
    """Return a document with the last part of each path alone, and counts in place of keys."""
    if name in _KEYS_OF:
        return _counted(content)
    if name in _EXAMPLES:
        return ""
    if isinstance(content, Mapping):
        return {without_traces(key): without_traces(content[key], str(key)) for key in content}
    if isinstance(content, list | tuple):
        return [without_traces(value) for value in content]
    return _PLACE.sub(_last_part, content) if isinstance(content, str) else content


def traces_in(content: Any, name: str = "", place: str = "") -> Iterator[str]:
    """Yield a sentence for each trace of people or machines in a document."""
    if name in _KEYS_OF | _EXAMPLES and content != without_traces(content, name):
        yield f"{place} names recordings"
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from traces_in(key, "", place)
            yield from traces_in(value, str(key), f"{place}.{key}" if place else str(key))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from traces_in(value, "", f"{place}[{number}]")
    elif isinstance(content, str):
        where = f"{place}: " if place else ""
        yield from (f"{where}path of a machine, {found[0]}" for found in _PLACE.finditer(content))
        yield from (f"{where}recording {found[0]}" for found in _RECORDING.finditer(content))


def _counted(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _counted(value) for key, value in content.items()}
    return len(content) if isinstance(content, list | tuple) else content


def _last_part(found: re.Match[str]) -> str:
    return PurePosixPath(found[0].replace("\\", "/")).name

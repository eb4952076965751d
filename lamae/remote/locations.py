"""Locations of recordings and shards: a folder here, or a URL of a remote store.

Only what follows a protocol of `PACKAGES` is a URL. Chains such as `simplecache::s3://...`, and
protocols that run a program (`pipe:`) or that nobody has looked at, are refused as they are read.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from lamae.config import as_path

PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "s3": "s3fs",
        "gs": "gcsfs",
        "gcs": "gcsfs",
        "az": "adlfs",
        "abfs": "adlfs",
        "http": "aiohttp",
        "https": "aiohttp",
        "hf": "huggingface_hub",
        "sftp": "paramiko",
        "file": "fsspec",
        "memory": "fsspec",
    }
)
"""The Python package that fsspec needs for each protocol that a URL can have."""
READ_ONLY = ("http", "https")
"""Protocols of stores that take no files."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def protocol_of(url: str) -> str:
    """Return what stands before the first colon of a URL."""
    return url.partition(":")[0]


def is_inside(path: str) -> bool:
    """Return True where a path that a table or a store gives leads to something below a folder."""
    parts = PurePosixPath(path).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts


def as_location(value: object) -> Path | str:
    """Return a folder as a path, a URL as it was given; raises ValueError for what is neither."""
    if not isinstance(value, str) or not (_SCHEME.match(value) or "::" in value):
        return as_path(value)
    protocol = protocol_of(value)
    if "::" in value:
        raise ValueError("a chain of protocols; give one URL, or ./name for a folder")
    if protocol not in PACKAGES or not value.startswith(f"{protocol}://"):
        known = ", ".join(f"{name}://" for name in PACKAGES)
        raise ValueError(f"expected a folder (./name if it has a colon), or one of {known}")
    parts = urlsplit(value)
    if parts.password is not None or parts.query or parts.fragment:
        raise ValueError(
            "a password, query or fragment in a URL would be written to summary.json; "
            "leave it out, and give credentials as fsspec's documentation of the store says"
        )
    if ".." in parts.path.split("/"):
        raise ValueError("a URL with .. in it")
    return value


Location = Annotated[Path | str, BeforeValidator(as_location)]
"""A folder here is a Path, one in a remote store a text: its URL, kept as it was given."""

"""The kinds of sources, and how each is listed."""

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

from lamae.errors import InputError
from shards.entries import Listing
from shards.settings import ShardsSettings
from shards.sources.folder import list_folder
from shards.sources.join import with_distinct_keys
from shards.sources.mimic import list_mimic
from shards.sources.ptbxl import list_ptbxl


class Kind(NamedTuple):
    """One kind of source."""

    list: Callable[[ShardsSettings], Listing | None]
    """Lists its recordings without reading any; None if the folder is not laid out so."""
    layout: str
    """What its folder holds, for an error."""


KINDS = MappingProxyType(
    {
        "ptbxl": Kind(
            list_ptbxl,
            "labels.csv or ptbxl_database.csv, and the records100/ or records500/ that it names",
        ),
        "mimic_iv_ecg": Kind(list_mimic, "record_list.csv and the files/ that it names"),
        "folder": Kind(list_folder, "WFDB records (.hea and signal files) in it or below"),
    }
)
"""By the name that `source_kind` gives."""


def list_source(settings: ShardsSettings) -> Listing:
    """List the recordings of a source, without reading any.

    Raises InputError for a folder that is empty or not laid out as `source_kind` says.
    """
    if not settings.source.is_dir():
        raise _wrong_source(settings, "no such folder")
    listing = KINDS[settings.source_kind].list(settings)
    if listing is None:
        raise _wrong_source(settings, "another layout")
    listing = with_distinct_keys(listing)
    if not listing.entries:
        raise _wrong_source(settings, f"no recording; {len(listing.rejects)} rows of its tables")
    return listing


def _wrong_source(settings: ShardsSettings, value: str) -> InputError:
    return InputError(
        f"source {settings.source}",
        value=value,
        expected=KINDS[settings.source_kind].layout,
        remedy="Check source= and source_kind=.",
    )

"""The kinds of sources, and how each is listed."""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import NamedTuple

from lamae.errors import InputError
from lamae.files import printable
from shards.entries import Listing, Reject
from shards.rejects import NOT_READ, by_reason, not_read
from shards.settings import LocalSource
from shards.sharing.splits import with_given_splits
from shards.sources.brugada import list_brugada
from shards.sources.challenge import list_challenge
from shards.sources.code15 import list_code15
from shards.sources.cpsc2018 import list_cpsc2018
from shards.sources.folder import list_folder
from shards.sources.hdf5 import list_hdf5
from shards.sources.huggingface import list_huggingface
from shards.sources.join import with_distinct_keys
from shards.sources.mimic import list_mimic
from shards.sources.ptbxl import list_ptbxl
from shards.sources.webdataset import list_webdataset

_REASONS_NAMED = 3


class Kind(NamedTuple):
    """One kind of source."""

    list: Callable[[LocalSource], Listing | None]
    """Lists its recordings without reading any; None if the folder is not laid out so."""
    layout: str
    """Content of its folder, for an error."""
    elsewhere: bool = False
    """True where the source need not be a folder."""


KINDS = MappingProxyType(
    {
        "ptbxl": Kind(
            list_ptbxl,
            "labels.csv or ptbxl_database.csv, and the records100/ or records500/ that it names",
        ),
        "mimic_iv_ecg": Kind(list_mimic, "record_list.csv and the files/ that it names"),
        "cpsc2018": Kind(list_cpsc2018, ".mat files, those of the PhysioNet copy with their .hea"),
        "challenge": Kind(list_challenge, "WFDB records (.hea and .mat or .dat) in it or below"),
        "code15": Kind(list_code15, "exams.csv and the exams_part<n>.hdf5 that it names"),
        "hdf5": Kind(list_hdf5, "HDF5 files (.h5 or .hdf5) with the dataset arrays.dataset"),
        "brugada_huca": Kind(list_brugada, "metadata.csv, and files/ with its patients"),
        "webdataset": Kind(list_webdataset, "tars (.tar, .tar.gz or .tgz) in it or below"),
        "huggingface": Kind(
            list_huggingface, "a folder of save_to_disk or of data files, or owner/name", True
        ),
        "folder": Kind(
            list_folder,
            "WFDB records (.hea and signal files), or .npy, .csv or HDF5 files, in it or below",
        ),
    }
)
"""By the name that `source_kind` gives."""


def list_source(settings: LocalSource) -> Listing:
    """List the recordings of a source, without reading any.

    Raises InputError for a folder that is empty or not laid out as `source_kind` says.
    """
    if not settings.source.is_dir() and not KINDS[settings.source_kind].elsewhere:
        raise _wrong_source(settings, "no such folder")
    return usable(settings, KINDS[settings.source_kind].list(settings))


def usable(settings: LocalSource, listing: Listing | None) -> Listing:
    """Return a listing with an entry at least, whose keys are distinct; raises InputError else."""
    if listing is None:
        raise _wrong_source(settings, "another layout")
    listing = with_distinct_keys(listing)
    if not len(listing):
        raise _wrong_source(settings, f"no recording{_why_none(listing.rejects)}")
    if settings.splits is not None:
        return with_given_splits(listing, settings.splits)
    return listing


def _why_none(rejects: Sequence[Reject]) -> str:
    """Return the reasons for which nothing is left, with an example of each."""
    first = {reject.reason: reject for reject in reversed(rejects) if reject.reason != NOT_READ}
    counts = by_reason(rejects)
    found = [f"{counts[r]} {r}: {reject.name}: {reject.message}" for r, reject in first.items()]
    found += [
        f"not read {each.number} {each.ending or 'without ending'}, such as {each.example}: "
        f"{each.message}"
        for each in not_read(rejects)
    ]
    return printable("".join(f"; {each}" for each in found[:_REASONS_NAMED]))


def _wrong_source(settings: LocalSource, value: str) -> InputError:
    return InputError(
        f"source {settings.source}",
        value=value,
        expected=KINDS[settings.source_kind].layout,
        remedy="Check source= and source_kind=.",
    )

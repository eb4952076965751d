"""A remote source, here piece by piece: what its listing opens, then the files of each block.

For the listing, tables and what else is opened are fetched, of large files of a user's own the
first bytes, and the other files are empty ones of the same names. The files of a block are fetched
before it is built, into a folder of its own, and removed after it, so that they take no more disk
than the blocks that are in work.
"""

import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from tqdm import tqdm

from lamae.errors import InputError
from lamae.readers.formats import OF_ARRAYS, format_of
from lamae.readers.wfdb.header_files import signal_names
from lamae.readers.wfdb.segments import segment_names
from lamae.remote.store import RemoteFile, Store
from shards.build.blocks import Block, build_block
from shards.entries import Entry
from shards.foreign.tar_files import SUFFIXES as TAR_SUFFIXES
from shards.settings import ShardsSettings, SourceKind

OPENED: Mapping[SourceKind, tuple[str, ...]] = MappingProxyType(
    {
        "mimic_iv_ecg": (".csv",),
        "ptbxl": (".csv",),
        "cpsc2018": (".csv", ".hea"),
        "challenge": (".csv", ".hea"),
        "code15": (".csv", ".hdf5"),
        "brugada_huca": (".csv",),
        "webdataset": (".csv", *TAR_SUFFIXES),
    }
)
"""Endings of the files that listing a source opens; they are kept until the build is finished."""
_ALL_BUT: Mapping[SourceKind, tuple[str, ...]] = MappingProxyType(
    {"folder": (".dat", ".mat", ".npy", ".h5", ".hdf5"), "hdf5": (".dat", ".mat", ".npy")}
)
"""Endings of the files that listing a user's own source does not open."""
_WHOLE: Mapping[SourceKind, tuple[str, ...]] = MappingProxyType(
    {"folder": (".hea",), "hdf5": (".csv", ".h5", ".hdf5")}
)
"""Endings of the files of which listing a user's own source needs all, however large they are."""
_START_BYTES = 2**20
"""Bytes that tell what a larger file is; those of people are read whole, to know whose they are."""
_START = "start of "
"""Mark of a version of which the first bytes are here."""
_NAMED_BY_TABLE: tuple[SourceKind, ...] = ("mimic_iv_ecg",)  # 1.6 million files: not listed

_CONNECTIONS = 16


class Mirror(NamedTuple):
    """Files of a remote source that are here."""

    url: str
    """The source."""
    kind: SourceKind
    """Layout of the source."""
    folder: Path
    """Folder in which its files are kept here."""

    @property
    def listing(self) -> Path:
        """The folder that is listed in place of the source."""
        return self.folder / "listing"

    def opened(self, path: str) -> bool:
        """Return True where the listing opens a file of the source, so that it is kept."""
        name = path.casefold()
        if self.kind in _ALL_BUT:
            return not name.endswith(_ALL_BUT[self.kind])
        return name.endswith(OPENED[self.kind])

    def begun(self, path: str, size: int | None) -> bool:
        """Return True where the first bytes of an opened file may be enough for the listing."""
        large = size is not None and size > _START_BYTES
        return large and self.kind in _WHOLE and not path.casefold().endswith(_WHOLE[self.kind])

    def mark(self, path: str) -> Path:
        """Return the file that says which version of a file is in the listing."""
        return self.folder / "versions" / path

    def holds(self, path: str) -> bool:
        """Return True where all of a file is in the listing."""
        mark = self.mark(path)
        return mark.is_file() and not mark.read_text().startswith(_START)


def fetch_listing(mirror: Mirror) -> None:
    """Fetch what listing the source needs; what an earlier run has fetched is taken as it is.

    Raises InputError for a store that does not answer, or has no files there.
    """
    store = _store(mirror.url)
    files = store.list(recursive=mirror.kind not in _NAMED_BY_TABLE)
    if not files:
        raise InputError(
            f"source {mirror.url}",
            value="no files there",
            expected="a folder of recordings that can be read",
            remedy="Check source=, and the access to it.",
        )
    mirror.listing.mkdir(parents=True, exist_ok=True)
    for old in [path for path in mirror.listing.rglob("*") if path.is_file()]:
        if old.relative_to(mirror.listing).as_posix() not in files:
            old.unlink()
    opened = [path for path in files if mirror.opened(path)]
    for path in files.keys() - set(opened):
        (mirror.listing / path).parent.mkdir(parents=True, exist_ok=True)
        (mirror.listing / path).touch()

    def fetch(path: str) -> None:
        _fetch_once(store, mirror, path, files[path])

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        fetched = pool.map(fetch, opened)
        for _ in tqdm(fetched, total=len(opened), desc="tables", unit="file", disable=None):
            pass


def _fetch_once(store: Store, mirror: Mirror, path: str, file: RemoteFile) -> None:
    """Fetch a file, or what the listing needs of it, unless that has been done for this version."""
    here, mark = mirror.listing / path, mirror.mark(path)
    known = mark.read_text() if here.is_file() and mark.is_file() else ""
    if known.removeprefix(_START) == file.version:
        return
    version = file.version
    begun = mirror.begun(path, file.size)
    if begun:
        store.fetch(path, here, first=_START_BYTES)
    if begun and not _states_people(here):
        version = _START + version
    else:
        store.fetch(path, here, size=file.size)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(version)


def _states_people(path: Path) -> bool:
    """Tell a recording of a format that says whose it is, by its first bytes."""
    form = format_of(path)
    return form is not None and form not in OF_ARRAYS


def build_fetched_block(
    block: Block, settings: ShardsSettings, folder: Path, *, mirror: Mirror
) -> None:
    """Build a block as `build_block` does, from files that are here for so long only."""
    source = mirror.folder / "blocks" / block.name
    shutil.rmtree(source, ignore_errors=True)  # of a run that was killed
    source.mkdir(parents=True)
    try:
        _fetch_files(block.entries, mirror, source)
        build_block(block, settings.model_copy(update={"source": source}), folder)
    finally:
        shutil.rmtree(source)


def _fetch_files(entries: Iterable[Entry], mirror: Mirror, source: Path) -> None:
    """Fetch the files of entries; one that the store lacks is missed when it is read."""
    store = _store(mirror.url)

    def fetch(path: str) -> None:
        here = source / path
        if mirror.opened(path) and mirror.holds(path):
            here.parent.mkdir(parents=True, exist_ok=True)
            here.symlink_to((mirror.listing / path).resolve())
        else:
            store.fetch(path, here)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        headers = {_header_of(e.path, mirror) for e in entries if e.reader == "wfdb"}
        first = headers | {e.path for e in entries if e.reader != "wfdb"}
        for _ in pool.map(fetch, sorted(first)):
            pass
        parts = {path for header in headers for path in _segments(source, header)} - first
        for _ in pool.map(fetch, sorted(parts)):
            pass
        named = {path for header in headers | parts for path in _signal_files(source, header)}
        for _ in pool.map(fetch, sorted(named - first - parts)):
            pass


def _header_of(record: str, mirror: Mirror) -> str:
    """Return the header of a record, whose ending some systems write in capitals."""
    upper = f"{record}.HEA"
    return upper if (mirror.listing / upper).is_file() else f"{record}.hea"


def _segments(source: Path, header: str) -> list[str]:
    """Return the headers of the segments of a record, none of most."""
    names = segment_names(source / header)
    ending = PurePosixPath(header).suffix
    return [str(PurePosixPath(header).with_name(f"{name}{ending}")) for name in names]


def _signal_files(source: Path, header: str) -> list[str]:
    """Return the paths of the files that a WFDB header names."""
    return [str(PurePosixPath(header).with_name(name)) for name in signal_names(source / header)]


@lru_cache(1)
def _store(url: str) -> Store:
    """Open a store once in each process, for all of its blocks."""
    return Store(url)

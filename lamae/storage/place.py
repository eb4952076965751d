"""The place of a corpus: a folder that is read where it lies, or one whose files come here."""

from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

from lamae.errors import InputError
from lamae.remote.locations import as_location
from lamae.storage.manifest import INDEX, MANIFEST, check_shard_sizes, read_manifest


@runtime_checkable
class Place(Protocol):
    """Files of one corpus."""

    location: Path | str
    """The folder or URL of the corpus."""
    manifest: dict[str, Any]
    """All that its manifest holds."""
    index: Path
    """Its index, on this machine."""
    max_held_bytes: int | None
    """Bytes of shards that one process may hold mapped; None where nothing limits them."""

    def open(self, shard: str) -> IO[bytes]:
        """Open a shard; raises OSError or InputError for one that cannot be had."""

    def expect(self, shards: Iterable[str]) -> None:
        """Be ready for shards that will be read next, in this order."""

    def discard_damaged(self, shard: str) -> bool:
        """Remove what is here of a shard if it is damaged, and can be had again."""


def open_place(location: Path | str, *, cache: Path | None, cache_gb: float | None) -> Place:
    """Open the place of a corpus; raises InputError where there is none.

    A folder is read where it lies, unless a cache is named.
    """
    try:
        location = as_location(location)
    except ValueError as error:
        raise InputError(
            f"shards {location}",
            value=str(error),
            expected="a folder of shards, or its URL",
            remedy="Check data=.",
        ) from None
    if isinstance(location, Path) and cache is None:
        return _Folder(location)
    from lamae.storage.cached_place import CachedPlace  # imports fsspec

    return CachedPlace(location, cache, cache_gb)


class _Folder:
    """Files where they are."""

    def __init__(self, folder: Path) -> None:
        self.location: Path | str = folder
        self.max_held_bytes: int | None = None
        self.manifest = read_manifest(folder / MANIFEST)
        check_shard_sizes(folder, self.manifest)
        self.index = folder / INDEX
        self._folder = folder

    def open(self, shard: str) -> IO[bytes]:
        return (self._folder / shard).open("rb")

    def expect(self, shards: Iterable[str]) -> None:
        """Do nothing: all is here."""

    def discard_damaged(self, shard: str) -> bool:
        """Remove nothing: what is damaged here is so."""
        return False

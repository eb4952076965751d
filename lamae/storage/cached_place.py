"""A corpus in a store, or in a folder that is far from here: its files come into a cache."""

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from lamae.remote.cache import Cache
from lamae.remote.store import Store
from lamae.storage.manifest import (
    INDEX,
    MANIFEST,
    check_shard_sizes,
    contents,
    parse_manifest,
    read_manifest,
)


class CachedPlace:
    """Files of one corpus, as `lamae.storage.place.Place` names them."""

    def __init__(self, location: Path | str, cache: Path | None, cache_gb: float | None) -> None:
        """Fetch the manifest, and the index unless the cache has it; raises InputError for others.

        A cache of None is the user's own.
        """
        self.location = location
        if isinstance(location, Path):
            self.manifest = read_manifest(location / MANIFEST)
            check_shard_sizes(location, self.manifest)
            url = f"file://{location.resolve()}"
        else:
            url = location.rstrip("/")
            self.manifest = parse_manifest(Store(url).read(MANIFEST), url)
        self._contents = contents(self.manifest, location)
        self._cache = Cache(url, cache, max_gb=cache_gb)
        self.max_held_bytes = self._cache.max_held_bytes
        self._cache.discard_damaged(self._contents[INDEX])
        with self._cache.open(self._contents[INDEX]) as file:
            self._index = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # so that it stays
        self.index = self._cache.path(self._contents[INDEX])

    def open(self, shard: str) -> IO[bytes]:
        """Open a shard, fetched if it is not in the cache."""
        return self._cache.open(self._contents[shard])

    def expect(self, shards: Iterable[str]) -> None:
        """Fetch shards ahead."""
        self._cache.expect(self._contents[shard] for shard in shards)

    def discard_damaged(self, shard: str) -> bool:
        """Remove a shard from the cache if it is damaged there."""
        return self._cache.discard_damaged(self._contents[shard])

"""Settings of shards, wherever they are."""

from typing import Any

from pydantic import Field

from lamae.config import FolderPath, Settings
from lamae.remote.locations import Location


class CacheSettings(Settings):
    """The cache of shards on this machine."""

    cache: FolderPath | None = None
    """Folder to which shards come, each once it is needed: best on a disk of the node. By default
    below ~/.cache/lamae for those at a URL; those of a folder are read where they are, unless a
    cache is named."""
    cache_gb: float | None = Field(None, gt=0)
    """Gigabytes (10^9 bytes) that the cache may take: the least recently used shards leave, and
    what is in use stays. By default all shards stay."""

    @property
    def caching(self) -> dict[str, Any]:
        """The arguments of a Corpus that these settings are."""
        return {"cache": self.cache, "cache_gb": self.cache_gb}


class DataSettings(CacheSettings):
    """Shards, and their cache."""

    data: Location
    """Shards: a folder, or its URL (s3://, gs://, az://, https://, hf://)."""

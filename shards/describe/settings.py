"""Settings of `describe`."""

from pathlib import Path

from pydantic import Field

from lamae.config import FolderPath, Settings

DESCRIPTION = "description"
"""Name of the folder that is written, and of the files in it."""


class DescribeSettings(Settings):
    """Settings of describe: the shards, and the part of them to look at."""

    data: FolderPath
    """Folder of shards."""
    output: FolderPath | None = None
    """Folder for the description; null is `description` in the folder of shards."""
    seed: int = Field(0, ge=0)
    """Seed of the draw of recordings that are measured or shown."""
    measured: int = Field(2000, ge=1)
    """Recordings whose signals are measured; all, where there are no more."""
    examples: int = Field(2, ge=0)
    """Recordings that are drawn for each reason to flag or to reject."""

    @property
    def page(self) -> Path:
        """The page that is written; figures and numbers lie beside it."""
        return (self.output or self.data / DESCRIPTION) / f"{DESCRIPTION}.html"

"""Settings of `export` and `import`."""

from pydantic import Field

from lamae.config import FolderPath, Settings
from lamae.runs.cores import available_cores


class ExportSettings(Settings):
    """From a folder of shards to another form."""

    data: FolderPath
    """Folder of the shards."""
    output: FolderPath
    """The file or folder; it must not exist."""


class ImportSettings(Settings):
    """From an HDF5 file of `export` to a folder of shards."""

    source: FolderPath
    """The file."""
    output: FolderPath
    """Folder for the shards; must not hold anything else."""
    workers: int = Field(default_factory=available_cores, ge=1)
    """Processes that read recordings; the default is one per core."""

"""Settings of `export` and `upload`."""

from typing import Literal

from pydantic import Field

from lamae.config import FolderPath, Settings
from lamae.release.licences import DataLicence
from shards.hdf5.settings import ExportSettings

Format = Literal["hdf5", "parquet", "webdataset"]
"""Formats of an export."""


class FormatSettings(ExportSettings):
    """From a folder of shards to a format of others."""

    format: Format = "hdf5"
    """hdf5 is one file, from which `import` makes the shards again; parquet a folder that datasets
    opens; webdataset tars of .npy and JSON."""
    data_set: DataLicence | None = None
    """Name, licence and citation of the recordings, for the card; an upload needs them."""


class UploadSettings(Settings):
    """A folder of `export`, or of shards, that goes to the Hub."""

    data: FolderPath
    """The folder."""
    to: str = Field(min_length=1)
    """Its place: hf://datasets/owner/name."""
    data_set: DataLicence | None = None
    """As of an export: of shards, or where the card of an export names no licence."""
    private: bool = True
    """Make a new repository visible to its owner alone."""
    may_share: bool = False
    """Say that the licence of the recordings lets you share them with all who can see the
    repository; those of credentialed access, as of MIMIC-IV's clinical part, it does not."""

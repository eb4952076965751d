"""Settings of `splits` and `overlap`."""

from typing import Literal

from pydantic import Field

from lamae.config import FolderPath, Settings


class SplitsSettings(Settings):
    """Shards whose splits are written to a file."""

    data: FolderPath
    """Folder of shards."""
    output: FolderPath
    """The CSV file; it must not exist. Its checksum is written beside it."""
    keyed: bool = False
    """Hash patients under the secret in LAMAE_ID_KEY; else everybody who knows an id can find its
    hash."""


class OverlapSettings(Settings):
    """Two corpora that should have no recording in common."""

    data: FolderPath
    """Folder of shards that a model is trained on."""
    other: FolderPath
    """Folder of shards that it is evaluated on."""
    trained: tuple[Literal["train", "val", "test"], ...] = ("train", "val")
    """Splits of `data` that training sees."""
    evaluated: tuple[Literal["train", "val", "test"], ...] = ("val", "test")
    """Splits of `other` that an evaluation uses; name all where it is for evaluation alone."""
    near: bool = True
    """Also read the signals, to find a recording at another rate, gain or resolution; false
    compares checksums and origins alone, in seconds."""
    min_correlation: float = Field(0.98, gt=0.5, le=1)
    """Least correlation of two recordings, over all leads that both have, that are near."""
    output: FolderPath | None = None
    """CSV file of all pairs; it must not exist."""

"""Settings of the program."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from lamae.config import FolderPath, Settings
from lamae.readers.array_layout import ArrayLayout
from lamae.runs.cores import available_cores
from lamae.storage.samples import SPLITS, Codec
from shards.checks.settings import QualitySettings
from shards.locations import READ_ONLY, Location, protocol_of

SourceKind = Literal[
    "folder",
    "mimic_iv_ecg",
    "ptbxl",
    "cpsc2018",
    "challenge",
    "code15",
    "hdf5",
    "brugada_huca",
]
"""What `source_kind` can be; shards/sources has a module for each."""


class Split(Settings):
    """Folds, or shares of the patients, of each split; what is in none of them is left out."""

    train: tuple[int, ...] | float = 0.8
    """List of folds, or share of the patients from 0 to 1."""
    val: tuple[int, ...] | float = 0.1
    """As train."""
    test: tuple[int, ...] | float = 0.1
    """As train."""
    seed: int = Field(0, ge=0, lt=2**64)
    """Key of the hash that draws patients for shares; folds do not use it."""

    @model_validator(mode="after")
    def _consistent(self) -> "Split":
        parts = [getattr(self, split) for split in SPLITS]
        folds = [fold for part in parts if isinstance(part, tuple) for fold in part]
        shares = [part for part in parts if not isinstance(part, tuple)]
        if shares and len(shares) < len(parts):
            raise ValueError("give folds for train, val and test ([] for none), or shares for all")
        if len(set(folds)) < len(folds):
            raise ValueError("a fold is named twice")
        if not folds and not (0 < sum(shares) <= 1 + 1e-9 and min(shares, default=0) >= 0):
            raise ValueError(f"{parts} must name a fold, or be shares that add up to at most 1")
        return self

    @property
    def by_fold(self) -> bool:
        """Whether the splits are made of folds."""
        return isinstance(self.train, tuple)


class BuildSettings(Settings):
    """From recordings to shards, wherever both are."""

    source: Location
    """Folder of the recordings, or the URL of one."""
    output: Location
    """Folder for the shards, or the URL of one; must not hold anything else."""
    source_kind: SourceKind = "folder"
    """How the source is laid out; folder is a user's own, of WFDB, .npy, .csv or HDF5 files."""
    table: FolderPath | None = None
    """CSV table of labels; null takes labels.csv in the source, for folder none."""
    diagnoses: FolderPath | None = None
    """MIMIC-IV-ECG-Ext-ICD's records_w_diag_icd10.csv, joined to MIMIC-IV-ECG by study."""
    records: Literal["records500", "records100"] | None = None
    """Folder of PTB-XL to take; null takes 500 Hz, or 100 Hz where only these are there."""
    label_columns: tuple[str, ...] | None = None
    """Columns of the table that are label sets; null takes all that name no record or patient."""
    arrays: ArrayLayout = ArrayLayout()
    """What .npy, .csv and HDF5 files do not say of the recordings in them."""
    split: Split = Split()
    """Which patients are in which split."""
    quality: QualitySettings = QualitySettings()
    """What is looked for in each recording, and what becomes of those that have it."""
    minimum_duration_s: float = Field(5.0, gt=0)
    """Shorter recordings are rejected; seconds."""
    duplicates: Literal["reject", "flag", "keep"] = "reject"
    """What becomes of a recording that equals an earlier one, or one in a `known` corpus."""
    known: tuple[FolderPath, ...] = ()
    """Finished shards in which no recording of this source may be, such as those of a test set."""
    hash_ids: bool = False
    """Replace ids by hashes under the key in LAMAE_ID_KEY; leave out names, paths and texts."""
    codec: Codec = "ecg"
    """ecg is lossless at a third of the bytes; npy is read by webdataset and datasets alone."""
    sampling_rate: int | None = Field(None, ge=50, le=10_000)
    """Samples per second to store; null keeps each recording's own."""
    shard_records: int = Field(1024, ge=1)
    """Recordings of one shard; fewer where some are rejected."""
    parts: int = Field(1, ge=1)
    """Into how many independent parts the build is divided, for an array of jobs."""
    part: int = Field(0, ge=0)
    """Which of them this run builds, from 0; `merge output=<folder>` finishes the shards."""
    workers: int = Field(default_factory=available_cores, ge=1)
    """Processes that read recordings; the default is one per core."""

    @model_validator(mode="after")
    def _a_part_of_the_parts(self) -> "BuildSettings":
        if self.part >= self.parts:
            raise ValueError(f"part {self.part} of {self.parts}: parts count from 0")
        return self


class ShardsSettings(BuildSettings):
    """From a folder of recordings to a folder of shards, both on this machine."""

    source: FolderPath
    """Folder of the recordings."""
    output: FolderPath
    """Folder for the shards; must not hold anything else."""


class CommandSettings(BuildSettings):
    """The settings of a build as a user gives them, with what remote places need."""

    scratch: FolderPath | None = None
    """Folder for what is here for a while; null keeps it in the output, where that is a folder."""

    @model_validator(mode="after")
    def _a_remote_output_is_built_here(self) -> "CommandSettings":
        if isinstance(self.output, str):
            if self.scratch is None:
                raise ValueError("a remote output needs scratch=<folder>, where it is built")
            if self.parts > 1:
                raise ValueError("parts are built in a folder that they share, not in a remote one")
            if protocol_of(self.output) in READ_ONLY:
                raise ValueError(f"output {self.output}: such a store takes no files")
        return self

    @property
    def remote(self) -> bool:
        """Whether the source or the output is in a remote store."""
        return isinstance(self.source, str) or isinstance(self.output, str)

    def in_folders(self, source: Path | str, output: Path | str) -> ShardsSettings:
        """Return the same build from one folder to another on this machine."""
        given = self.model_dump(exclude={"scratch"})
        return ShardsSettings.model_validate(given | {"source": source, "output": output})


class VerifySettings(Settings):
    """Shards that are verified."""

    data: FolderPath
    """Folder of shards."""
    workers: int = Field(1, ge=1)
    """Processes; one is fastest below some ten thousand records, for others take time to start."""


class MergeSettings(Settings):
    """The place where parts were built."""

    output: FolderPath
    """Folder that the parts have in common."""

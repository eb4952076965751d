"""Settings of the program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from lamae.config import FolderPath, Settings
from lamae.quality.settings import QualitySettings
from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.read_options import ReadOptions
from lamae.readers.wfdb.segment import Checksums
from lamae.remote.locations import READ_ONLY, Location, protocol_of
from lamae.runs.cores import available_cores
from lamae.storage.samples import SPLITS, Codec
from shards.foreign.settings import DatasetSettings, FieldSettings

SourceKind = Literal[
    "folder",
    "mimic_iv_ecg",
    "ptbxl",
    "cpsc2018",
    "challenge",
    "code15",
    "hdf5",
    "brugada_huca",
    "webdataset",
    "huggingface",
]
"""Values of `source_kind`; shards/sources has a module for each."""

DATASETS_ON_HUB = "hf://datasets/"
"""Begins the URL of a dataset on the Hub."""


def _as_cell(value: object) -> object:
    """Return a number as the text of a cell; raises ValueError for what YAML reads otherwise."""
    if value is None or isinstance(value, bool):
        raise ValueError("YAML reads it as a truth value or nothing; put it in quotes")
    return str(value) if isinstance(value, int | float) else value


Cell = Annotated[str, BeforeValidator(_as_cell)]
"""A cell of a table; a number may be given without quotes."""


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
        """True where the splits are made of folds."""
        return isinstance(self.train, tuple)


class SourceSettings(Settings):
    """Recordings, and the tables of their patients and labels."""

    source: Location
    """Folder of the recordings, or the URL of one; of huggingface also owner/name on the Hub."""
    source_kind: SourceKind = "folder"
    """Layout of the source; folder is a user's own, of files of any readable format."""
    table: FolderPath | None = None
    """CSV table of labels; null takes labels.csv in the source, for folder none."""
    path_column: str | None = None
    """Column of the table that names the recording; null takes filename, record, path or so."""
    patients: str | None = None
    """Column of the table that names the patient; null takes patient_id, mrn or so. `none` makes
    each recording its own patient."""
    diagnoses: FolderPath | None = None
    """MIMIC-IV-ECG-Ext-ICD's records_w_diag_icd10.csv, joined to MIMIC-IV-ECG by study."""
    records: Literal["records500", "records100"] | None = None
    """Folder of PTB-XL to take; null takes 500 Hz, or 100 Hz where only these are there."""
    label_columns: tuple[str, ...] | None = None
    """Columns of the table that are label sets; null takes all that are nothing else."""
    about_columns: tuple[str, ...] | None = None
    """Columns of numbers and categories about the recording; null takes age, sex, site or so."""
    negative: tuple[Cell, ...] = ()
    """Cells that mean examined, and none of the classes, e.g. [normal]; an empty cell is none."""
    min_matched: float = Field(0.5, ge=0, le=1)
    """Least share of the table's rows, and of the recordings, that must find each other."""
    leads_as: Mapping[str, str] | None = None
    """Standard leads by the names that files give to signals, e.g. {ECG1: II}."""
    unit: Literal["mV", "uV", "V"] | None = None
    """Unit of the values, whatever the files say; null takes theirs."""
    checksums: Checksums = "strict"
    """A WFDB checksum that differs refuses a recording, or with warn is noted."""
    arrays: ArrayLayout = ArrayLayout()
    """Facts that .npy, .csv and HDF5 files lack about the recordings in them."""
    fields: FieldSettings = FieldSettings()
    """Fields of the samples of webdataset and huggingface that their signals need."""
    tars: str | None = Field(None, min_length=1)
    """Tars of webdataset below the source, such as train-{0000..0099}.tar; null takes all."""
    dataset: DatasetSettings = DatasetSettings()
    """Part of a huggingface dataset that is read."""
    splits: FolderPath | None = None
    """File of `shards/main.py splits` that says the split of each recording; others are rejects."""
    hash_ids: bool = False
    """Replace ids by hashes under the key in LAMAE_ID_KEY; leave out names, paths and texts."""

    @model_validator(mode="before")
    @classmethod
    def _name_on_the_hub(cls, values: object) -> object:
        """Read hf://datasets/owner/name[@revision], which names what is streamed by its rows."""
        if not isinstance(values, dict) or values.get("source_kind") != "huggingface":
            return values
        source = values.get("source")
        if not isinstance(source, str) or "://" not in source:
            return values
        if not source.startswith(DATASETS_ON_HUB):
            raise ValueError(f"source of huggingface: a folder, owner/name or {DATASETS_ON_HUB}...")
        name, _, revision = source.removeprefix(DATASETS_ON_HUB).partition("@")
        given = dict(values.get("dataset") or {})
        return values | {"source": name, "dataset": ({"revision": revision or None}) | given}


class LocalSource(SourceSettings):
    """Recordings in a folder of this machine."""

    source: FolderPath
    """Folder of the recordings."""

    @property
    def array_layout(self) -> ArrayLayout:
        """The layout of arrays in the user's unit."""
        if self.unit is None:
            return self.arrays
        return self.arrays.model_copy(update={"unit": self.unit})

    @property
    def read_options(self) -> ReadOptions:
        """The user's word on files of any format."""
        return ReadOptions(self.leads_as, self.unit, self.checksums, self.arrays)


class InspectSettings(LocalSource):
    """Recordings and tables that are looked at; nothing is written."""

    recordings: int = Field(10, ge=1)
    """Recordings that are read and shown, drawn by chance."""
    max_opened: int = Field(2000, ge=1)
    """Files of a user's folder that are opened to tell what they are; the others are like these."""
    seed: int = Field(0, ge=0)
    """Seed of the draw."""
    quality: QualitySettings = QualitySettings()
    """As in a build."""
    min_duration_s: float = Field(5.0, gt=0)
    """As in a build."""


class BuildSettings(SourceSettings):
    """From recordings to shards, wherever both are."""

    renamed: ClassVar[Mapping[str, str]] = {"minimum_duration_s": "min_duration_s"}

    output: Location
    """Folder for the shards, or the URL of one; must not hold anything else."""
    split: Split = Split()
    """Division of the patients into splits."""
    quality: QualitySettings = QualitySettings()
    """Checks of each recording, and the treatment of those that fail."""
    min_duration_s: float = Field(5.0, gt=0)
    """Shorter recordings are rejected; seconds."""
    duplicates: Literal["reject", "flag", "keep"] = "reject"
    """Treatment of a recording that equals an earlier one, or one in a `known` corpus."""
    known: tuple[FolderPath, ...] = ()
    """Finished shards in which no recording of this source may be, such as those of a test set."""
    codec: Codec = "ecg"
    """ecg is lossless at a third of the bytes; npy is read by webdataset and datasets alone."""
    sampling_rate: int | None = Field(None, ge=50, le=10_000)
    """Samples per second to store; null keeps each recording's own."""
    shard_records: int = Field(1024, ge=1)
    """Recordings of one shard; fewer where some are rejected."""
    parts: int = Field(1, ge=1)
    """Into how many independent parts the build is divided, for an array of jobs."""
    part: int = Field(0, ge=0)
    """The part that this run builds, from 0; `merge output=<folder>` finishes the shards."""
    workers: int = Field(default_factory=available_cores, ge=1)
    """Processes that read recordings; the default is one per core."""

    @model_validator(mode="after")
    def _a_part_of_the_parts(self) -> "BuildSettings":
        if self.part >= self.parts:
            raise ValueError(f"part {self.part} of {self.parts}: parts count from 0")
        return self


class ShardsSettings(LocalSource, BuildSettings):
    """From a folder of recordings to a folder of shards, both on this machine."""

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
        """True where the source or the output is in a remote store."""
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

"""Settings of the recordings: their task, what they may share, how their windows are read."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from lamae.config import Settings
from lamae.remote.locations import Location
from lamae.storage.settings import CacheSettings

HOLD_OUT = 0.15
"""Share of the training patients that is held out where nothing else is asked for."""

Overlap = Literal[
    "training_patients",
    "training_recordings",
    "pretraining_patients",
    "pretraining_recordings",
]
"""Things that the recordings of the evaluation split can share with those of the training split
or with those that the encoder was pretrained on: patients, or the recordings themselves."""

CATEGORY = 3
"""Characters of a category of ICD-10, the shortest code."""


class Icd10Settings(Settings):
    """From the ICD-10 codes of a stay to classes (Strodthoff et al. 2024, github.com/AI4HealthUOL).

    A code is cut, loses the X that fills its end, and brings its ancestors down to its category of
    three characters; codes that too few recordings have are left out.
    """

    renamed: ClassVar[Mapping[str, str]] = {
        "characters": "max_characters",
        "fewest": "min_recordings",
        "most_frequent": "max_classes",
    }

    max_characters: int = Field(5, ge=CATEGORY, le=7)
    """Longest code, without its point; a longer one is cut."""
    ancestors: bool = True
    """Give a recording with a code the codes above it as well."""
    min_recordings: int = Field(2000, gt=0)
    """Labelled recordings of the shards, over all splits, that a code needs to be a class."""
    max_classes: int | None = Field(None, gt=0)
    """Number of classes, the most frequent ones; by default all that are frequent enough."""


class AuditSettings(CacheSettings):
    """Things that evaluated recordings may share with those that a model has learnt from."""

    pretraining_data: tuple[Location, ...] | None = None
    """Folders or URLs of the shards that the encoder was pretrained on, to audit for leakage; by
    default those that its run names."""
    allow_overlap: tuple[Overlap, ...] = ()
    """Things that the evaluation recordings may share with those of training and pretraining."""


class ReadingSettings(Settings):
    """Reading of windows, and the leads that a recording must have."""

    batch_size: int = Field(128, gt=0)
    """Windows that each process embeds or scores at once."""
    data_workers: int = Field(1, ge=0)
    """Threads of each process that prepare batches ahead; 0 prepares each when it is needed."""
    min_leads: int | None = Field(None, gt=0)
    """Leads of the preprocessor that a recording must have to be used; by default all."""


class UsableSettings(ReadingSettings):
    """Share of recordings that may be left out because they cannot be read or used."""

    max_unusable: float = Field(0.01, ge=0, lt=1)
    """Share of a split that may be damaged, refused by the preprocessor or short of leads; it is
    left out."""


class TaskSettings(AuditSettings):
    """The classes to predict, and the recordings to learn them from and to evaluate them on."""

    label_set: str = "superclass"
    """Label set of the shards whose classes are predicted."""
    classes: tuple[str, ...] | None = None
    """Classes to predict; by default all that the training split has."""
    multi_label: bool = True
    """Allow a recording several classes; otherwise it has exactly one."""
    require_class: bool = False
    """Leave out recordings without any of the classes, as the PTB-XL benchmark does (Strodthoff et
    al. 2021); otherwise they are negative for all. Always so where each has exactly one class."""
    absent_classes: Literal["error", "leave_out"] = "error"
    """Treatment of a class without a positive or a negative recording in the evaluation split:
    an error, or it is left out of every mean and named; one that the training split lacks is then
    no class of the task."""
    several_classes: Literal["error", "leave_out"] = "error"
    """Treatment of recordings with several classes where multi_label is false."""
    icd10: Icd10Settings | None = None
    """For label sets of ICD-10 codes: the rules that make classes of them."""
    where: dict[str, tuple[str, ...]] = Field({})
    """By label set, the classes of which a recording must have one to be used at all."""
    evaluate_where: dict[str, tuple[str, ...]] = Field({})
    """The same for the evaluation split alone."""
    label_fraction: float = Field(1.0, gt=0, le=1)
    """Share of the training patients to learn from; a smaller share is part of a larger one."""
    subset_seed: int = Field(0, ge=0)
    """Decides which patients these are."""
    train_split: str = "train"
    """Split that the classifier is fitted on."""
    eval_split: str = "val"
    """Split that results are for."""

"""Settings of a recalibration."""

from typing import Literal

from pydantic import Field

from finetune.data.settings import ReadingSettings
from finetune.run_settings import IntervalSettings, RunSettings
from lamae.config import FolderPath
from lamae.remote.locations import Location
from lamae.storage.settings import CacheSettings

Method = Literal["auto", "platt", "isotonic"]
Rule = Literal["f1", "youden", "specificity"]


class RecalibrateSettings(RunSettings, IntervalSettings, ReadingSettings, CacheSettings):
    """A saved classifier, labelled recordings of a place, and the model that fits it."""

    model: str
    """Classifier: its folder, the run that made it, or hf://owner/name."""
    data: Location
    """Shards of 50 to 500 or more labelled recordings, of patients that trained no part of it."""
    label_set: str
    """Label set of the shards that has the truth."""
    output: FolderPath
    """Folder of the new model."""
    labels_as: dict[str, str] = Field({})
    """Labels of the shards by the model's class, where they bear other names; several that mean the
    same are joined by "|"."""
    splits: tuple[str, ...] | None = None
    """Splits of the shards to use; by default all recordings."""
    method: Method = "auto"
    """platt: intercept and slope of the logit. isotonic: any rising curve. auto: isotonic for a
    class with min_isotonic patients on both sides, else platt. A classifier of exactly one class
    gets one slope and an intercept by class."""
    min_positives: int = Field(10, ge=2)
    """Patients with a class, and without it, that it needs; one with fewer stays as it is."""
    min_isotonic: int = Field(200, ge=2)
    """Patients with a class, and without it, from which auto takes a curve."""
    rule: Rule = "f1"
    """Thresholds with the highest F1, with the highest sum of sensitivity and specificity, or with
    the highest sensitivity at min_specificity."""
    min_specificity: float = Field(0.9, gt=0, lt=1)
    """Specificity that the last of these rules keeps."""
    folds: int = Field(5, ge=2)
    """Folds of patients: what is measured on one was fitted on the others."""

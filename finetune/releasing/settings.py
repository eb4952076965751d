"""Settings of releases."""

import datetime
from collections.abc import Mapping

from pydantic import Field

from lamae.config import FolderPath, Settings
from lamae.release.description import ReleaseName, ReleaseVersion
from lamae.release.licences import DataLicence, Licence


class ClassWords(Settings):
    """Meaning of a class."""

    description: str = Field(min_length=2)
    """The name in words."""
    codes: Mapping[str, tuple[str, ...]] = Field({})
    """Codes of coding systems, such as scp, snomed or icd10."""


class ReleaseSettings(Settings):
    """A trained model, and what its release says that no file of a run knows."""

    model: FolderPath
    """Run of pretrain/main.py or finetune/main.py, with its summary.json; or the folder of the
    model in it; or a folder that `recalibrate` made."""
    results: FolderPath | None = None
    """Run of finetune/main.py that evaluated an encoder; of other models, their own run."""
    onnx: FolderPath | None = None
    """The same classifier as a file of `export`, in float32, for use without torch."""
    output: FolderPath
    """Folder to make."""
    name: ReleaseName
    """Name of the model: <size>.<corpus>[-<task>]."""
    version: ReleaseVersion
    """Version, such as 1.0.0; one is used once."""
    changelog: str = Field(min_length=2)
    """A sentence on this version."""
    half: bool = False
    """Keep the matrices of weights in 16 bits (float16), for half the size; the model computes in
    32 bits as before, from weights that are rounded."""
    distribution_patients: int = Field(1000, ge=0)
    """Patients of the training split, one recording of each, whose embeddings make the distribution
    by which a model says that a recording is unlike these; 0 leaves it out."""
    data: FolderPath | None = None
    """Shards that the model was trained on; by default where its run found them."""
    previous: FolderPath | None = None
    """Release of an earlier version, whose changelog goes on and whose licence stays."""
    license: Licence = "Apache-2.0"
    """Licence of the weights, as an SPDX expression."""
    license_file: FolderPath | None = None
    """Its text; by default that of LAMAE for Apache-2.0."""
    data_sets: tuple[DataLicence, ...] = Field(min_length=1)
    """Data sets of pretraining and training, the one of the results first."""
    classes: Mapping[str, ClassWords] = Field({})
    """Meaning of each class of a classifier; of a recalibrated release, by default as it was."""
    intended_use: str = Field(min_length=2)
    """A sentence on the use that the model is made for."""
    not_for: tuple[str, ...] = Field(min_length=1)
    """Uses that it is not made for."""
    limits: tuple[str, ...] = Field(min_length=1)
    """Known limits and failures."""
    citation: str = Field(min_length=2)
    """Way in which to cite it."""
    hardware: str = Field(min_length=2)
    """Machine that it was trained on."""
    base_model: str | None = None
    """Released encoder that a classifier or detector stands on, such as hf://owner/name."""
    home: str | None = None
    """Place from which users open it, such as hf://owner/name; by default its name."""
    requires: str = ">=0.1"
    """Versions of LAMAE that read it."""
    created: datetime.date | None = None
    """Day of the release; by default today."""


class CheckSettings(Settings):
    """A release to check."""

    release: str = Field(min_length=1)
    """Its folder, the name of a shipped one, or hf://owner/name[@revision]."""


class UploadSettings(Settings):
    """A release, and where it goes."""

    release: FolderPath
    """Its folder."""
    to: str = Field(pattern=r"^hf://")
    """hf://owner/name: made where it is not there. HF_TOKEN or `hf auth login` says who you are."""
    private: bool = False
    """Make a new repository private."""

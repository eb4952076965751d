"""Settings of what is done with a saved model: predict, embed, similar."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from finetune.data.settings import ReadingSettings
from finetune.run_settings import RunSettings
from lamae.config import FolderPath
from lamae.model.settings import Pooling

TABLES = (".csv", ".parquet", ".json")
"""Endings of tables."""
EMBEDDINGS = (".npz", ".parquet", ".csv")
"""Endings of files of embeddings."""


def _as_name(value: object) -> object:
    return str(value) if isinstance(value, Path | int | float) else value


ModelName = Annotated[str, BeforeValidator(_as_name)]
"""Name or path of a model; a name that YAML reads as a number is a name."""


class ModelSettings(RunSettings):
    """A saved model, the recordings to put to it, and what is known of them."""

    endings: ClassVar[tuple[str, ...]] = TABLES

    model: ModelName
    """Name of a shipped model (lamae-cpu.ptbxl), folder of a model or of its run, ONNX file, or
    hf://owner/name."""
    source: FolderPath
    """A recording in any readable format, a folder of recordings, or a folder of shards."""
    output: FolderPath | None = None
    """File to write, .csv, .parquet or .json; not needed for a single recording. Beside it,
    <output>.about.json tells the model, its checksum, the settings and counts."""
    revision: str | None = None
    """Version of a model on a hub."""
    device: str | None = None
    """Device where torch computes, such as cpu or cuda; by default a GPU if there is one."""
    splits: tuple[str, ...] | None = None
    """Splits of the shards to read; by default all recordings."""
    sampling_rate: float | None = Field(None, gt=0)
    """Samples per second, for files that do not tell it."""
    leads: tuple[str, ...] | None = None
    """Leads of the rows of arrays; by default the twelve in their order."""
    leads_as: dict[str, str] | None = None
    """Standard leads by the names that files give to signals: {ECG1: II}."""
    unit: Literal["mV", "uV", "V"] | None = None
    """Unit of the values, whatever the files say."""

    @field_validator("output")
    @classmethod
    def _has_a_form(cls, output: Path | None) -> Path | None:
        if output is not None and output.suffix not in cls.endings:
            raise ValueError(f"expected a file that ends in {', '.join(cls.endings)}")
        return output

    @property
    def how(self) -> dict[str, Any]:
        """Statements on the recordings."""
        names = ("sampling_rate", "leads", "leads_as", "unit", "splits")
        return {name: getattr(self, name) for name in names}


class PredictSettings(ModelSettings, ReadingSettings):
    """A saved classifier or detector, recordings, and the file for its predictions."""

    renamed: ClassVar[Mapping[str, str]] = {"classifier": "model", "data": "source"}

    layout: Literal["tidy", "wide"] = "tidy"
    """tidy: a row for each recording and class. wide: a row for each recording, with a column for
    each class."""
    min_leads: int | None = Field(None, gt=0)
    """Leads of the model that a recording must have to be answered; by default as many as in the
    run that made the model."""
    precision: Literal["fp32", "bf16"] | None = None
    """Arithmetic of a classifier on shards; by default that of the run that made it."""


class EmbedSettings(ModelSettings):
    """A saved model with an encoder, recordings, and the file for their embeddings."""

    endings: ClassVar[tuple[str, ...]] = EMBEDDINGS

    output: FolderPath
    """File to write, .npz, .parquet or .csv: names, patients, problems and embeddings. Beside it,
    <output>.about.json tells the model, its checksum, the settings and counts."""
    pooling: Pooling | None = None
    """Reduction of an encoder's tokens to one vector; by default its attention over leads."""


class SimilarSettings(ModelSettings):
    """A saved model, recordings, and those among which similar ones are looked for."""

    pooling: Pooling | None = None
    """Reduction of an encoder's tokens to one vector, as in the reference."""
    reference: FolderPath
    """Recordings among which to look: a file of embed, a folder of recordings, or shards."""
    count: int = Field(5, gt=0)
    """Number of similar recordings of each."""

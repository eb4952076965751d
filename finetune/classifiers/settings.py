"""Modes of classifiers, and the settings of what is done with one that was trained."""

from typing import Literal

from pydantic import Field, model_validator

from finetune.run_settings import RunSettings
from lamae.config import FolderPath
from lamae.remote.locations import Location
from lamae.storage.settings import CacheSettings

Mode = Literal[
    "probe",
    "attention_probe",
    "full",
    "probe_then_full",
    "lasan",
    "hybrid",
    "cnn_attention_bilstm",
    "hierarchical_transformer",
]
"""probe: a linear classifier on the frozen encoder, fitted to its end. attention_probe: a learned
query over the frozen encoder's tokens. full: encoder and linear head trained together.
probe_then_full: the same from a fitted probe (Kumar et al. 2022). lasan, cnn_attention_bilstm,
hierarchical_transformer: a network without an encoder. hybrid: gated fusion of encoder and LASAN,
trained together."""

WITHOUT_ENCODER = ("lasan", "cnn_attention_bilstm", "hierarchical_transformer")
"""Modes that need no encoder."""


class ExportSettings(RunSettings, CacheSettings):
    """A saved classifier, and the ONNX file to make of it."""

    classifier: FolderPath
    """Run of finetune/main.py, or its folder classifier."""
    output: FolderPath
    """File to write."""
    int8: bool = False
    """8-bit weights and activations; needs data."""
    data: Location | None = None
    """Shards whose recordings give the ranges of activations."""
    split: str = "train"
    """Split of the shards that these are taken from: not one that is evaluated."""
    recordings: int = Field(128, gt=0)
    """Number of recordings that give the ranges, drawn at random."""
    seed: int = Field(0, ge=0)
    """Decides which recordings these are."""

    @model_validator(mode="after")
    def _consistent(self) -> "ExportSettings":
        if self.int8 and self.data is None:
            raise ValueError("int8 needs data=<shards>, whose recordings give the ranges")
        return self

"""A classifier in an ONNX file, run by onnxruntime; torch is not needed.

The file's metadata hold what a network alone does not say: preprocessing, classes, thresholds.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from lamae.config import Settings
from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.ecg.record import Record
from lamae.edge.onnx_session import (
    EMBEDDING,
    LEAD_WEIGHTS,
    LOGITS,
    PRESENT,
    SAMPLES,
    SIGNAL,
    open_session,
)
from lamae.errors import InputError, RecordError
from lamae.statistics.probabilities import ClassCalibration, probabilities

METADATA = "lamae"
"""Under which name an ONNX file has its description, as JSON."""


class Description(Settings):
    """Properties of an ONNX classifier, beside its network."""

    preprocess: Preprocessor
    """From a recording to the array that the network reads."""
    classes: tuple[str, ...]
    """Classes in the order of its logits."""
    multi_label: bool
    """True where a recording may have several of them; else it has exactly one."""
    thresholds: dict[str, float] = Field({})
    """Lowest probability that is called positive, of the classes that have one."""
    calibration: tuple[ClassCalibration, ...] = ()
    """Calibration of each class; none where logits are taken as they are."""
    int8: bool = False
    """True where weights are 8-bit integers."""
    partial: bool = False
    """True where a recording may lack leads or be shorter than a window; older files want all."""
    min_leads: int | None = None
    """Fewest leads of a recording that is classified; all where none is named."""


class WindowOutputs(NamedTuple):
    """Outputs of a network for one window; None for what it does not have."""

    logits: Float[np.ndarray, " classes"]
    """One for each class."""
    embedding: Float[np.ndarray, " width"] | None
    """The vector that its encoder makes of the window."""
    lead_weights: Float[np.ndarray, " l"] | None
    """Importance of each lead, which sums to one."""


class OnnxClassifier:
    """A classifier of `finetune/main.py export`."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load a file; raises InputError if it is none of ours or onnxruntime is not installed."""
        self._session = open_session(path, threads=threads)
        self.description = _describe(path, self._session.get_modelmeta().custom_metadata_map)
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]

    @property
    def min_leads(self) -> int:
        """Fewest leads of a recording that is classified."""
        leads = len(self.description.preprocess.leads)
        return min(self.description.min_leads or leads, leads)

    def __call__(self, record: Record) -> dict[str, float]:
        """Return the probability of each class, from the mean of the logits over windows.

        Raises RecordError for a recording with fewer than `min_leads`, and, of a file that an
        earlier version exported, for one that lacks a lead or is shorter than a window.
        """
        description = self.description
        logits = []
        for window in description.preprocess.cover(record):
            self.check(record, window)
            logits.append(self.outputs(window.signal, window.present, window.samples).logits)
        found = probabilities(
            np.mean(logits, axis=0),
            multi_label=description.multi_label,
            calibration=description.calibration,
        )
        return dict(zip(description.classes, found.tolist(), strict=True))

    def logits(self, signal: Float[np.ndarray, "l samples"]) -> Float[np.ndarray, " classes"]:
        """Classify one whole window, as the preprocessor gives it."""
        return self.outputs(signal).logits

    def outputs(
        self,
        signal: Float[np.ndarray, "l samples"],
        present: Bool[np.ndarray, " l"] | None = None,
        samples: int | None = None,
    ) -> WindowOutputs:
        """Return all that the network makes of one window, as the preprocessor gives it.

        Args:
            signal: zeros in an absent lead, and behind the recorded samples.
            present: False for a lead that the recording lacks; None where it has all.
            samples: recorded samples; None for the whole window.
        """
        leads, whole = signal.shape
        given = {
            SIGNAL: signal[None].astype(np.float32),
            PRESENT: np.ones((1, leads), dtype=np.bool_) if present is None else present[None],
            SAMPLES: np.array([whole if samples is None else samples], dtype=np.int64),
        }
        fed = {name: value for name, value in given.items() if name in self._inputs}
        values = self._session.run(self._outputs, fed)
        found = {
            name: np.asarray(value[0], dtype=np.float64)
            for name, value in zip(self._outputs, values, strict=True)
        }
        return WindowOutputs(found[LOGITS], found.get(EMBEDDING), found.get(LEAD_WEIGHTS))

    def check(self, record: Record, window: Prepared, min_leads: int | None = None) -> None:
        """Raise RecordError for a window that the file cannot classify, or with too few leads."""
        preprocess = self.description.preprocess
        if self.description.partial:
            preprocess.require_leads(record, window, min_leads or self.min_leads)
            return
        remedy = "Export the classifier again: this file is of an earlier version."
        preprocess.require_leads(record, window, len(preprocess.leads), remedy=remedy)
        if window.samples < preprocess.samples:
            raise RecordError(
                f"recording {record.name}",
                reason="too_short",
                value=f"{record.duration_s:g} s",
                expected=f"at least the {preprocess.duration_s:g} s that the network reads",
                remedy=remedy,
            )


def _describe(path: Path, metadata: dict[str, str]) -> Description:
    try:
        return Description.model_validate(json.loads(metadata[METADATA]))
    except (KeyError, ValueError) as error:
        found = "no description" if isinstance(error, KeyError) else str(error).replace("\n", " ")
        raise InputError(
            f"ONNX file {path}",
            value=found,
            expected=f"metadata {METADATA!r} of this version of LAMAE",
            remedy="Make the file with finetune/main.py export.",
        ) from None

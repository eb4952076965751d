"""A classifier in an ONNX file, run by onnxruntime; torch is not needed.

The file's metadata hold what a network alone does not say: preprocessing, classes, thresholds.
"""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pydantic import Field

from lamae.config import Settings
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record
from lamae.ecg.windows import covering_windows
from lamae.edge.onnx_session import open_session
from lamae.errors import InputError, RecordError
from lamae.statistics.probabilities import probabilities

METADATA = "lamae"
"""Under which name an ONNX file has its description, as JSON."""

SIGNAL, LOGITS = "signal", "logits"
"""Names of a network's input, float32 (1, leads, samples), and output, float32 (1, classes)."""


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
    int8: bool = False
    """True where weights are 8-bit integers."""


class OnnxClassifier:
    """A classifier of `finetune/main.py export`."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load a file; raises InputError if it is none of ours or onnxruntime is not installed."""
        self._session = open_session(path, threads=threads)
        self.description = _describe(path, self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, record: Record) -> Float[np.ndarray, " classes"]:
        """Return the probability of each class, from the mean of the logits over windows.

        Raises RecordError for a recording that lacks a lead or is shorter than a window: the
        network was exported for whole windows.
        """
        preprocess = self.description.preprocess
        rate = np.array([record.sampling_rate])
        (length,) = preprocess.lengths(np.array([record.digital.shape[1]]), rate)
        if length < preprocess.samples:
            raise RecordError(
                f"recording {record.name}",
                reason="too_short",
                value=f"{record.duration_s:g} s",
                expected=f"at least the {preprocess.duration_s:g} s that the network reads",
                remedy="Export a classifier that was trained with a shorter preprocess.duration_s.",
            )
        windows = covering_windows(
            np.zeros(1, dtype=np.int64), np.array([length]), window=preprocess.samples
        )
        logits = [self.logits(self._prepare(record, int(start))) for start in windows.starts]
        return probabilities(np.mean(logits, axis=0), multi_label=self.description.multi_label)

    def logits(self, signal: Float[np.ndarray, "l samples"]) -> Float[np.ndarray, " classes"]:
        """Classify one window, as the preprocessor gives it."""
        (logits,) = self._session.run([LOGITS], {SIGNAL: signal[None].astype(np.float32)})
        return np.asarray(logits[0], dtype=np.float64)

    def _prepare(self, record: Record, start: int) -> np.ndarray:
        prepared = self.description.preprocess(record, start)
        if not prepared.present.all():
            wanted = self.description.preprocess.leads
            missing = [lead for lead, has in zip(wanted, prepared.present, strict=True) if not has]
            raise RecordError(
                f"recording {record.name}",
                reason="missing_leads",
                value=f"no {', '.join(missing)}",
                expected=f"the leads {', '.join(wanted)}",
                remedy="Export a classifier that was trained on the leads that there are.",
            )
        return prepared.signal


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

"""An ONNX file in use, opened by its name; torch is not needed."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from lamae.ecg.preprocess import Prepared
from lamae.ecg.record import Record
from lamae.edge.onnx_classifier import OnnxClassifier
from lamae.errors import InputError
from lamae.pretrained.answers import Outputs, Windows
from lamae.pretrained.pretrained import Pretrained


class PretrainedOnnx(Pretrained):
    """A classifier of `finetune/main.py export`."""

    kind: ClassVar[str] = "onnx"

    def __init__(self, path: Path, classifier: OnnxClassifier) -> None:
        """Take a classifier that was loaded from `path`."""
        description = classifier.description
        super().__init__(
            path,
            preprocess=description.preprocess,
            classes=description.classes,
            multi_label=description.multi_label,
            thresholds=description.thresholds,
            min_leads=classifier.min_leads,
            calibration=description.calibration,
        )
        self.classifier = classifier

    @classmethod
    def open(cls, folder: Path, *, device: str | None) -> "PretrainedOnnx":
        """Load a file; raises InputError for what is none of ours, and for another device."""
        if device not in (None, "cpu"):
            raise InputError(
                "device",
                value=device,
                expected="cpu, where onnxruntime computes",
                remedy="Leave device out, or open the classifier that was exported.",
            )
        return cls(folder, OnnxClassifier(folder))

    def outputs(self, windows: Windows, *, pooling: str | None = None) -> Outputs:
        """Classify windows, one after the other: so the file takes them."""
        found = [
            self.classifier.outputs(signal, present, int(samples))
            for signal, present, samples in zip(*windows, strict=True)
        ]
        logits, embedding, weights = zip(*found, strict=True)
        return Outputs(
            np.stack(logits), embedding=_stacked(embedding), lead_weights=_stacked(weights)
        )

    def check(self, record: Record, window: Prepared, least: int) -> None:
        """Raise RecordError for a recording with too few leads, or that the file cannot take."""
        self.classifier.check(record, window, least)


def _stacked(parts: tuple[np.ndarray | None, ...]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.stack(known) if known else None

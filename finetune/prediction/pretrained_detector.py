"""A detector of abnormal recordings in use, opened by its name."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float

from finetune.anomaly.detector.folder import LoadedDetector, load_detector
from finetune.anomaly.evaluation.threshold_rules import ABNORMAL
from finetune.prediction.pretrained_classifier import as_batch
from lamae.model.pretrained_encoder import chosen_device
from lamae.pretrained.answers import Outputs, Windows
from lamae.pretrained.pretrained import Pretrained


class PretrainedDetector(Pretrained):
    """A detector of `finetune/main.py anomaly`."""

    kind: ClassVar[str] = "detector"
    value: ClassVar[str] = "score"

    def __init__(self, folder: Path, loaded: LoadedDetector, device: torch.device) -> None:
        """Take a loaded detector to a device."""
        preprocess = loaded.detector.architecture.preprocess
        threshold = loaded.decision.threshold
        super().__init__(
            folder,
            preprocess=preprocess,
            classes=(ABNORMAL,),
            thresholds={} if threshold is None else {ABNORMAL: threshold},
            min_leads=loaded.about.get("settings", {}).get("min_leads") or len(preprocess.leads),
        )
        self.loaded = loaded
        loaded.detector.to(device)

    @classmethod
    def open(cls, folder: Path, *, device: str | None) -> "PretrainedDetector":
        """Load a detector from its folder, or from the run that made it."""
        return cls(folder, load_detector(folder), chosen_device(device))

    @torch.inference_mode()
    def outputs(self, windows: Windows, *, pooling: str | None = None) -> Outputs:
        """Score windows, and embed them where the detector has an encoder."""
        detector, batch = self.loaded.detector, as_batch(windows)
        names: tuple[str, ...] = detector.architecture.scores
        scores = detector(batch).scores[:, names.index(self.loaded.decision.score)]
        has_encoder = detector.architecture.kind == "lamae"
        embedding = detector.embed(batch).cpu().numpy() if has_encoder else None
        return Outputs(scores=scores.float().cpu().numpy(), embedding=embedding)

    def score_of(self, scores: Float[np.ndarray, " windows"]) -> float:
        """Return the largest score of the windows, or their mean, as the detector decides."""
        over = np.max if self.loaded.decision.over == "max" else np.mean
        return float(over(scores.astype(np.float64)))

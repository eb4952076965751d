"""A classifier in use, opened by its name."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from finetune.classifiers.folder import LoadedClassifier, load_classifier
from finetune.encoders.other_encoder import present_rows, recorded_of
from finetune.networks.heads import EncoderClassifier
from lamae.batches.dataset import Batch
from lamae.model.pooling import pool
from lamae.model.pretrained_encoder import as_array, chosen_device
from lamae.pretrained.answers import Outputs, Windows
from lamae.pretrained.pretrained import Pretrained


class PretrainedClassifier(Pretrained):
    """A classifier of `finetune/main.py`."""

    kind: ClassVar[str] = "classifier"

    def __init__(self, folder: Path, loaded: LoadedClassifier, device: torch.device) -> None:
        """Take a loaded classifier to a device."""
        architecture = loaded.classifier.architecture
        leads = len(architecture.preprocess.leads)
        super().__init__(
            folder,
            preprocess=architecture.preprocess,
            classes=architecture.classes,
            multi_label=architecture.multi_label,
            thresholds=loaded.thresholds,
            min_leads=loaded.about.get("settings", {}).get("min_leads") or leads,
            calibration=architecture.calibration,
        )
        self.loaded = loaded
        self.move(device)

    @classmethod
    def open(cls, folder: Path, *, device: str | None) -> "PretrainedClassifier":
        """Load a classifier from its folder, or from the run that made it."""
        return cls(folder, load_classifier(folder), chosen_device(device))

    def move(self, device: torch.device) -> None:
        """Compute on a device from now on."""
        self.device = device
        self.loaded.classifier.model.to(device)

    @torch.inference_mode()
    def outputs(self, windows: Windows, *, pooling: str | None = None) -> Outputs:
        """Classify windows."""
        return self.outputs_of(as_batch(windows))

    def outputs_of(self, batch: Batch) -> Outputs:
        """Classify a batch, and embed it where the classifier has an encoder."""
        architecture, model = self.loaded.classifier.architecture, self.loaded.classifier.model
        if not isinstance(model, EncoderClassifier):
            found = self.loaded.classifier.outputs(batch, self.device)
            return Outputs(as_array(found.logits), lead_weights=_optional(found.lead_weights))
        recorded = recorded_of(batch, architecture.encoder).to(self.device)
        latents = model.encode(batch.signal.to(self.device), recorded)
        found = model.classify(latents, recorded)
        embedding = pool(
            latents, architecture.pooling, present_rows(model.encoder, recorded.present)
        )
        return Outputs(
            as_array(found.logits),
            embedding=as_array(embedding),
            lead_weights=_optional(found.lead_weights),
        )


def as_batch(windows: Windows) -> Batch:
    """Return windows as the batch that networks take."""
    is_whole = bool((windows.samples == windows.signal.shape[-1]).all())
    return Batch(
        torch.from_numpy(windows.signal),
        None if windows.present.all() else torch.from_numpy(windows.present),
        keys=("",) * len(windows.signal),
        samples=None if is_whole else torch.from_numpy(windows.samples),
    )


def _optional(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else as_array(values)

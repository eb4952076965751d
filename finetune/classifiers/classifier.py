"""Classifiers of every mode: what they are made of, and how a batch is put to them."""

from typing import NamedTuple

import torch
from pydantic import model_validator
from torch import nn

from finetune.classifiers.settings import Mode
from finetune.encoders.opening import new_encoder
from finetune.encoders.other_encoder import (
    AnyEncoder,
    AnyEncoderSettings,
    leads_apart,
    recorded_of,
)
from finetune.networks.cnn_attention_bilstm import CnnAttentionBilstm
from finetune.networks.heads import AttentionHead, EncoderClassifier, LinearHead
from finetune.networks.hierarchical_transformer import HierarchicalTransformer
from finetune.networks.hybrid import HybridLasan
from finetune.networks.lasan import Lasan
from finetune.networks.outputs import Outputs
from finetune.networks.settings import (
    CnnAttentionBilstmSettings,
    HierarchicalTransformerSettings,
    LasanSettings,
)
from lamae.batches.dataset import Batch
from lamae.config import Settings
from lamae.ecg.preprocess import Preprocessor
from lamae.model.masking import Mask
from lamae.model.pooling import pooled_width
from lamae.model.settings import Pooling
from lamae.statistics.probabilities import ClassCalibration


class Architecture(Settings):
    """All that a classifier is built from, weights aside."""

    mode: Mode
    """Its mode."""
    classes: tuple[str, ...]
    """Classes in the order of its logits."""
    multi_label: bool
    """True where a recording may have several of them, False where it has exactly one."""
    preprocess: Preprocessor
    """From a recording to the array that it reads."""
    pooling: Pooling
    """Reduction of the encoder's tokens to one vector, where a mode needs one."""
    encoder: AnyEncoderSettings | None
    """Sizes of the encoder, or what describes another; none in modes without."""
    lasan: LasanSettings
    """Sizes of LASAN, in modes with it."""
    cnn_attention_bilstm: CnnAttentionBilstmSettings
    """Parts of the supervised network, in its mode."""
    hierarchical_transformer: HierarchicalTransformerSettings = HierarchicalTransformerSettings()
    """Sizes and switches of the hierarchical transformer, in its mode."""
    calibration: tuple[ClassCalibration, ...] = ()
    """Calibration of each class on local recordings; none where logits are taken as they are."""

    @model_validator(mode="after")
    def _consistent(self) -> "Architecture":
        if self.calibration and len(self.calibration) != len(self.classes):
            raise ValueError(f"calibration must have {len(self.classes)} parts, one for each class")
        return self


class Classifier(NamedTuple):
    """A classifier, and what it was built from."""

    model: nn.Module
    """Called with a batch as finetune/networks/outputs.py says."""
    architecture: Architecture
    """Its architecture."""

    def outputs(
        self,
        batch: Batch,
        device: torch.device,
        *,
        mask: Mask | None = None,
    ) -> Outputs:
        """Classify a batch on the device where the model is; a mask hides patches of it."""
        encoder = self.architecture.encoder
        recorded = recorded_of(batch, encoder).to(device)
        shown = {} if mask is None else {"mask": mask.to(device)}
        return self.model(batch.signal.to(device, non_blocking=True), recorded, **shown)


def build_classifier(architecture: Architecture, encoder: AnyEncoder | None = None) -> Classifier:
    """Build a classifier with random weights, around a given encoder in modes that have one.

    Without it the encoder has random weights as well, unless it is in a file with its weights.
    """
    leads, classes = architecture.preprocess.leads, len(architecture.classes)
    if encoder is None and architecture.encoder is not None:
        encoder = new_encoder(architecture.encoder)
    if architecture.mode == "cnn_attention_bilstm":
        network = CnnAttentionBilstm(
            architecture.cnn_attention_bilstm, leads=leads, classes=classes
        )
        return Classifier(network, architecture)
    if architecture.mode == "hierarchical_transformer":
        transformer = HierarchicalTransformer(
            architecture.hierarchical_transformer,
            leads=leads,
            samples=architecture.preprocess.samples,
            classes=classes,
        )
        return Classifier(transformer, architecture)
    if architecture.mode == "lasan":
        return Classifier(Lasan(architecture.lasan, leads=leads, classes=classes), architecture)
    assert encoder is not None, "the settings demand an encoder in all other modes"
    model: nn.Module
    if architecture.mode == "hybrid":
        model = HybridLasan(
            encoder,
            architecture.lasan,
            leads=leads,
            classes=classes,
            pooling=architecture.pooling,
        )
        return Classifier(model, architecture)
    width, heads = encoder.settings.width, encoder.settings.heads
    rows = leads_apart(encoder, leads)
    head: AttentionHead | LinearHead
    if architecture.mode == "attention_probe":
        head = AttentionHead(width, heads=heads, leads=rows, classes=classes)
    else:
        features = pooled_width(
            architecture.pooling,
            width=width,
            leads=len(rows),
            amplitudes=encoder.settings.amplitudes,
        )
        head = LinearHead(features, classes=classes, pooling=architecture.pooling)
    return Classifier(EncoderClassifier(encoder, head, leads=leads), architecture)

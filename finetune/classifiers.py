"""Classifiers of every mode: what they are made of, and how a batch is put to them."""

from typing import NamedTuple

import torch
from torch import nn

from finetune.cnn_attention_bilstm import CnnAttentionBilstm, CnnAttentionBilstmSettings
from finetune.embeddings import patches_recorded
from finetune.heads import AttentionHead, EncoderClassifier, LinearHead, pooled_width
from finetune.hybrid import HybridLasan
from finetune.lasan import Lasan, LasanSettings
from finetune.outputs import Outputs
from finetune.settings import Mode
from lamae.config import Settings
from lamae.dataset import Batch
from lamae.encoder import Encoder, EncoderSettings
from lamae.pooling import Pooling
from lamae.preprocess import Preprocessor


class Architecture(Settings):
    """All that a classifier is built from, weights aside."""

    mode: Mode
    """What it is."""
    classes: tuple[str, ...]
    """Classes in the order of its logits."""
    multi_label: bool
    """Whether a recording may have several of them, or has exactly one."""
    preprocess: Preprocessor
    """From a recording to the array that it reads."""
    pooling: Pooling
    """How the encoder's tokens become one vector, where a mode needs one."""
    encoder: EncoderSettings | None
    """Sizes of the encoder; none in modes without."""
    lasan: LasanSettings
    """Sizes of LASAN, in modes with it."""
    cnn_attention_bilstm: CnnAttentionBilstmSettings
    """Parts of the supervised network, in its mode."""


class Classifier(NamedTuple):
    """A classifier, and what it was built from."""

    model: nn.Module
    """Called with a batch as finetune/outputs.py says."""
    architecture: Architecture
    """What it is made of."""

    def outputs(self, batch: Batch, device: torch.device) -> Outputs:
        """Classify a batch on the device where the model is."""
        encoder = self.architecture.encoder
        valid = None if encoder is None else patches_recorded(batch, encoder.patch_size)
        masks = {"present": batch.present, "valid": valid, "samples": batch.samples}
        signal = batch.signal.to(device, non_blocking=True)
        moved = {
            name: None if mask is None else mask.to(device, non_blocking=True)
            for name, mask in masks.items()
        }
        return self.model(signal, **moved)


def build_classifier(architecture: Architecture, encoder: Encoder | None = None) -> Classifier:
    """Build a classifier with random weights, around a given encoder in modes that have one.

    Without it the encoder has random weights as well.
    """
    leads, classes = architecture.preprocess.leads, len(architecture.classes)
    if encoder is None and architecture.encoder is not None:
        encoder = Encoder(architecture.encoder)
    if architecture.mode == "cnn_attention_bilstm":
        network = CnnAttentionBilstm(
            architecture.cnn_attention_bilstm, leads=leads, classes=classes
        )
        return Classifier(network, architecture)
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
    head: AttentionHead | LinearHead
    if architecture.mode == "attention_probe":
        head = AttentionHead(width, heads=heads, leads=leads, classes=classes)
    else:
        features = pooled_width(architecture.pooling, width=width, leads=len(leads))
        head = LinearHead(features, classes=classes, pooling=architecture.pooling)
    return Classifier(EncoderClassifier(encoder, head, leads=leads), architecture)

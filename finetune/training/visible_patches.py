"""Patches that a step of fine-tuning shows the encoder: a random share of each lead's.

PatchDropout (Liu et al. 2023) makes a step cheaper and the classifier less sure of single beats.
"""

import torch

from finetune.classifiers.classifier import Classifier
from finetune.encoders.other_encoder import recorded_of
from lamae.batches.dataset import Batch
from lamae.errors import InputError
from lamae.model.masking import Mask, draw_mask
from lamae.model.settings import EncoderSettings


def draw_visible(
    classifier: Classifier, batch: Batch, visible_share: float, seed: int
) -> Mask | None:
    """Return the patches of a micro-batch that the encoder is shown; None for all.

    Raises InputError for an encoder that cannot be shown a part of a recording.
    """
    encoder = classifier.architecture.encoder
    if visible_share == 1:
        return None
    if not isinstance(encoder, EncoderSettings):
        raise InputError(
            "training.visible_share",
            value=visible_share,
            expected="1 with an encoder that was described in YAML",
            remedy="Leave it out: only an encoder of LAMAE can be shown a part of a recording.",
        )
    recorded = recorded_of(batch, encoder)
    return draw_mask(
        "random",
        batch=len(batch.signal),
        leads=batch.signal.shape[1],
        patches=batch.signal.shape[2] // encoder.patch_size,
        mask_ratio=1 - visible_share,
        generator=torch.Generator().manual_seed(seed),
        recorded=recorded,
    )

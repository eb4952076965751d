"""A step can show the encoder a part of each lead, and what is hidden has no say in it."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from finetune.classifiers.classifier import Architecture, Classifier, build_classifier
from finetune.encoders.description import OtherEncoderSettings
from finetune.networks.settings import CnnAttentionBilstmSettings, LasanSettings
from finetune.settings import FinetuneSettings
from finetune.training.visible_patches import draw_visible
from lamae.batches.dataset import Batch
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.settings import EncoderSettings

LEADS, PATCHES, SIZE = ("I", "II", "V1"), 8, 25
ENCODER = EncoderSettings(width=16, depth=2, heads=2, patch_size=SIZE, latent_depth=1)


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    architecture = Architecture(
        mode="full",
        classes=("AF", "sinus"),
        multi_label=True,
        preprocess=Preprocessor(leads=LEADS, sampling_rate=50, duration_s=4, band_hz=None),
        pooling="lead_mean",
        encoder=ENCODER,
        lasan=LasanSettings(),
        cnn_attention_bilstm=CnnAttentionBilstmSettings(),
    )
    return build_classifier(architecture)


@pytest.fixture
def batch() -> Batch:
    signal = torch.randn(4, len(LEADS), PATCHES * SIZE, generator=torch.Generator().manual_seed(1))
    return Batch(signal, present=None, keys=("a", "b", "c", "d"))


def test_the_asked_share_of_each_lead_is_shown_and_drawn_anew(
    classifier: Classifier, batch: Batch
) -> None:
    masks = [draw_visible(classifier, batch, 0.5, seed) for seed in (0, 0, 1)]
    first, again, other = (mask.visible for mask in masks if mask is not None)
    assert first.shape == (4, len(LEADS), PATCHES // 2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_all_is_shown_where_nothing_is_to_be_hidden(classifier: Classifier, batch: Batch) -> None:
    assert draw_visible(classifier, batch, 1.0, 0) is None


def test_samples_of_hidden_patches_do_not_change_the_logits(
    classifier: Classifier, batch: Batch
) -> None:
    device = torch.device("cpu")
    mask = draw_visible(classifier, batch, 0.5, 0)
    assert mask is not None
    hidden = torch.ones(4, len(LEADS), PATCHES, dtype=torch.bool)
    hidden.scatter_(2, mask.visible, False)
    noise = torch.randn(batch.signal.shape) * hidden.repeat_interleave(SIZE, dim=2)
    changed = batch._replace(signal=batch.signal + noise)
    shown = classifier.outputs(batch, device, mask=mask).logits
    assert torch.allclose(classifier.outputs(changed, device, mask=mask).logits, shown)
    assert not torch.allclose(classifier.outputs(changed, device).logits, shown)


def test_another_encoder_cannot_be_shown_a_part(classifier: Classifier, batch: Batch) -> None:
    architecture = classifier.architecture
    reads = {
        "leads": LEADS,
        "sampling_rate": 50,
        "duration_s": 4,
        "band_hz": None,
        "normalisation": "record",
    }
    described = OtherEncoderSettings.model_validate(
        {"kind": "onnx", "file": "g.onnx", "width": 16, "preprocess": reads}
    )
    other = architecture.model_copy(update={"encoder": described})
    with pytest.raises(InputError, match="visible_share"):
        draw_visible(classifier._replace(architecture=other), batch, 0.5, 0)


def test_a_share_in_a_mode_without_it_is_refused(tmp_path: Path) -> None:
    values = {"data": tmp_path, "label_set": "x", "encoder": tmp_path, "mode": "hybrid"}
    with pytest.raises(ValidationError, match="full and probe_then_full, not hybrid"):
        FinetuneSettings.model_validate(values | {"training": {"visible_share": 0.5}})

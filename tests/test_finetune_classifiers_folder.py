"""A classifier of every mode comes back from its folder as it was, or not at all."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from finetune.classifiers.classifier import Architecture, Classifier, build_classifier
from finetune.classifiers.folder import load_classifier, save_classifier
from finetune.classifiers.settings import WITHOUT_ENCODER, Mode
from finetune.networks.settings import (
    CnnAttentionBilstmSettings,
    HierarchicalTransformerSettings,
    LasanSettings,
)
from lamae.batches.dataset import Batch
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.settings import EncoderSettings

PREPROCESSOR = Preprocessor(leads=("I", "V1"), sampling_rate=50, duration_s=20, band_hz=None)
ENCODER = EncoderSettings(patch_size=50, width=16, depth=1, heads=2, latent_depth=1)


def make(mode: Mode) -> Classifier:
    torch.manual_seed(3)
    return build_classifier(
        Architecture(
            mode=mode,
            classes=("MI", "CD", "HYP"),
            multi_label=True,
            preprocess=PREPROCESSOR,
            pooling="lead_mean",
            encoder=None if mode in WITHOUT_ENCODER else ENCODER,
            lasan=LasanSettings(channels=(8, 8), kernel_size=5, depth=1, heads=2, hidden=8),
            cnn_attention_bilstm=CnnAttentionBilstmSettings(),
            hierarchical_transformer=HierarchicalTransformerSettings(
                width=16, depth=3, heads=2, hidden=16
            ),
        )
    )


@pytest.mark.parametrize("mode", get_args(Mode))
def test_what_is_loaded_gives_the_outputs_of_what_was_saved(mode: Mode, tmp_path: Path) -> None:
    classifier = make(mode)
    classifier.model.eval()
    thresholds = {"MI": 0.25, "CD": float("nan"), "HYP": float("inf")}
    save_classifier(tmp_path / "classifier", classifier, thresholds=thresholds, about={"seed": 3})
    loaded = load_classifier(tmp_path)  # by its run
    assert loaded.classifier.architecture == classifier.architecture
    assert (loaded.thresholds, loaded.about) == ({"MI": 0.25}, {"seed": 3})
    present = torch.tensor([[True, True], [True, False], [True, True]])
    samples = torch.tensor([1000, 1000, 600])
    signal = torch.randn(3, 2, 1000) * present[..., None]
    batch = Batch(signal, present, ("a", "b", "c"), samples)
    device = torch.device("cpu")
    with torch.no_grad():
        before, after = (each.outputs(batch, device) for each in (classifier, loaded.classifier))
    for one, two in zip(before, after, strict=True):
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            torch.testing.assert_close(one, two, atol=0, rtol=0)
    assert np.isfinite(before.logits.numpy()).all()


def test_what_is_no_whole_classifier_is_refused(tmp_path: Path, pretrained_run: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_classifier(tmp_path / "nowhere")
    with pytest.raises(InputError, match="configuration of a classifier"):
        load_classifier(pretrained_run / "model")
    folder = tmp_path / "classifier"
    save_classifier(folder, make("full"), thresholds={}, about={})
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"model.safetensors: SHA-256"):
        load_classifier(folder)

"""The picture of the report is computed where the model is."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from finetune.reconstruction import draw_reconstruction
from lamae.autoencoder import LAMAE, Reconstruction
from lamae.checkpoint import load_autoencoder
from lamae.corpus import Corpus
from lamae.dataset import Split


class _OnDevice(nn.Module):
    """Stands for an autoencoder on a device: it takes no tensor of any other."""

    def __init__(self, model: LAMAE) -> None:
        super().__init__()
        self.settings = model.settings
        self.weight = nn.Parameter(torch.zeros(1))
        self._model = [model]  # not a submodule: it stays on the CPU

    def forward(self, signal: Tensor, leads: Sequence[str], **tensors: Tensor) -> Reconstruction:
        assert {x.device.type for x in (self.weight, signal, *tensors.values())} == {"meta"}
        visible = torch.zeros(tensors["visible"].shape, dtype=torch.int64)
        found: Reconstruction = self._model[0](torch.zeros(signal.shape), leads, visible=visible)
        return found

    def signal_from(self, patches: Tensor, signal: Tensor) -> Tensor:
        assert signal.device.type == self.weight.device.type == "meta"
        return patches.flatten(2)


def test_the_picture_is_computed_on_one_device(pretrained_run: Path, corpus: Corpus) -> None:
    loaded = load_autoencoder(pretrained_run)
    model: Any = _OnDevice(loaded.model)
    split = Split(corpus, corpus.rows("val"), loaded.preprocessor)
    stand_in: Any = SimpleNamespace(model=model, preprocessor=loaded.preprocessor)
    draw = inspect.unwrap(draw_reconstruction)  # without the check of types: it is a stand-in
    picture = draw(
        stand_in,
        split,
        seed=0,
        device=torch.device("meta"),
    )
    assert picture.figure.axes

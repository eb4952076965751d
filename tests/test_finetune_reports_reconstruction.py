"""The picture of the report says what a reader has to know to judge it."""

from pathlib import Path

import pytest
import torch

from finetune.reports.reconstruction import draw_reconstruction
from lamae.batches.dataset import Split
from lamae.model.checkpoint import load_autoencoder
from lamae.storage.corpus import Corpus


@pytest.mark.parametrize("norm_target", [True, False])
def test_the_caption_says_what_is_taken_from_the_recording(
    pretrained_run: Path, corpus: Corpus, norm_target: bool
) -> None:
    loaded = load_autoencoder(pretrained_run)
    loaded.model.settings = loaded.model.settings.model_copy(update={"norm_target": norm_target})
    split = Split(corpus, corpus.rows("val"), loaded.preprocessor)
    picture = draw_reconstruction(loaded, split, seed=0, device=torch.device("cpu"))
    assert str(corpus.keys[corpus.rows("val")[0]]) in str(picture.figure.get_label())
    assert ("offset and the scale" in picture.caption) == norm_target

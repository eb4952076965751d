"""A picture of what the autoencoder reconstructs, for the report."""

from typing import NamedTuple

import torch
from matplotlib.figure import Figure

from lamae.batches.dataset import Split
from lamae.figures.reconstruction_picture import reconstruction_figure
from lamae.model.checkpoint import Loaded
from lamae.model.masking import draw_mask


class Picture(NamedTuple):
    """A figure, and its caption."""

    figure: Figure
    caption: str


def draw_reconstruction(loaded: Loaded, data: Split, *, seed: int, device: torch.device) -> Picture:
    """Draw the first recording of `data` with hidden patches and their reconstruction.

    The model computes on `device`, and stays there.
    """
    model, preprocessor = loaded.model.to(device), loaded.preprocessor
    key, prepared = data.prepared(0)
    mask = draw_mask(
        "random",
        batch=1,
        leads=len(preprocessor.leads),
        patches=preprocessor.samples // model.settings.encoder.patch_size,
        mask_ratio=model.settings.mask_ratio,
        generator=torch.Generator().manual_seed(seed),
    )
    title = f"Recording {key}"
    figure = reconstruction_figure(model, preprocessor, prepared, mask, title=title, device=device)
    caption = "A recording of the evaluation split. The encoder saw only what is not shaded."
    if model.settings.norm_target:
        caption += (
            " The model predicts the shape of a patch; the offset and the scale of each hidden "
            "patch are taken from the recording."
        )
    return Picture(figure, caption)

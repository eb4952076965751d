"""A picture of what the autoencoder reconstructs, for the report."""

from typing import NamedTuple

import numpy as np
import torch
from einops import repeat
from matplotlib.figure import Figure

from lamae.checkpoint import Loaded
from lamae.dataset import Split
from lamae.masking import draw_visible
from lamae.plots import ecg_paper

_SECONDS = 10.0


class Picture(NamedTuple):
    """A figure, and what a reader has to know to judge it."""

    figure: Figure
    caption: str


def draw_reconstruction(loaded: Loaded, data: Split, *, seed: int, device: torch.device) -> Picture:
    """Draw the first recording of `data` with hidden patches and their reconstruction.

    The model computes on `device`, and stays there.
    """
    model, preprocessor = loaded.model.to(device), loaded.preprocessor
    key, prepared = data.prepared(0)
    patch_size = model.settings.encoder.patch_size
    visible = draw_visible(
        1,
        len(preprocessor.leads),
        preprocessor.samples // patch_size,
        mask_ratio=model.settings.mask_ratio,
        generator=torch.Generator().manual_seed(seed),
    )
    signal = torch.from_numpy(prepared.signal)[None].to(device)
    present = torch.from_numpy(prepared.present)[None].to(device)
    with torch.inference_mode():
        found = model(signal, preprocessor.leads, visible=visible.to(device), present=present)
        drawn = model.signal_from(found.patches, signal).cpu()
    hidden = repeat(found.hidden[0].cpu().numpy(), "l n -> l (n p)", p=patch_size)
    recorded = np.where(prepared.present[:, None], prepared.signal, np.nan)
    figure = ecg_paper(
        prepared.millivolts(recorded),
        preprocessor.leads,
        sampling_rate=preprocessor.sampling_rate,
        reconstruction_mv=prepared.millivolts(drawn[0].numpy()),
        hidden=hidden,
        title=f"Recording {key}",
        seconds=_SECONDS,
    )
    caption = "A recording of the evaluation split. The encoder saw only what is not shaded."
    if model.settings.norm_target:
        caption += (
            " The model predicts the shape of a patch; the offset and the scale of each hidden "
            "patch are taken from the recording."
        )
    return Picture(figure, caption)

"""A picture of what an autoencoder reconstructs: ECG paper, with the hidden patches shaded."""

import numpy as np
import torch
from einops import repeat
from matplotlib.figure import Figure

from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.figures.plots import ecg_paper
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask
from lamae.model.recorded import recorded_parts

SECONDS = 10.0
"""Length of a recording that is drawn."""


def reconstruction_figure(
    model: LAMAE,
    preprocessor: Preprocessor,
    prepared: Prepared,
    mask: Mask,
    *,
    title: str,
    device: torch.device,
) -> Figure:
    """Draw a recording, its hidden patches shaded, and over these their reconstruction.

    Args:
        model: on `device`; its mode stays as it is.
        preprocessor: the model's.
        prepared: what it has made of the recording.
        mask: of this recording alone.
        title: one line over the paper.
        device: where the model computes.

    With normalised targets, offset and scale of each hidden patch are taken from the recording.
    Absent leads and padding are left blank.
    """
    size = model.settings.encoder.patch_size
    signal = torch.from_numpy(prepared.signal)[None].to(device)
    recorded = recorded_parts(
        torch.from_numpy(prepared.present)[None],
        torch.tensor([prepared.samples]),
        patches=preprocessor.samples // size,
        patch_size=size,
    )
    with torch.no_grad():
        found = model(
            signal, preprocessor.leads, mask=mask.to(device), recorded=recorded.to(device)
        )
        drawn = model.signal_from(found.patches.float(), signal).cpu()
    shown = prepared.present[:, None] & (np.arange(preprocessor.samples) < prepared.samples)
    hidden = repeat(found.hidden[0].cpu().numpy(), "l n -> l (n p)", p=size)
    return ecg_paper(
        prepared.millivolts(np.where(shown, prepared.signal, np.nan)),
        preprocessor.leads,
        sampling_rate=preprocessor.sampling_rate,
        reconstruction_mv=prepared.millivolts(np.where(shown, drawn[0].numpy(), np.nan)),
        hidden=hidden & shown,
        title=title,
        seconds=SECONDS,
    )

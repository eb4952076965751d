"""The preprocessor for whole batches, on the device of the model.

Lead selection, resampling, band-pass and crop are linear in the samples of a recording of given
length. Here they are two matrices, which the preprocessor's own functions make from unit impulses,
so that the two ways cannot drift apart.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor

from lamae.leads import select_leads
from lamae.preprocess import SMALLEST_SCALE_MV, Preprocessor


class BatchPreprocessor:
    """A preprocessor for recordings of one set of leads, one length and one sampling rate.

    They must have no missing samples and some of the preprocessor's leads: `Preprocessor` handles
    those that do not.
    """

    def __init__(
        self,
        preprocessor: Preprocessor,
        *,
        leads: tuple[str, ...],
        samples: int,
        sampling_rate: int,
        device: torch.device,
    ) -> None:
        """Compute both matrices on `device`, for recordings of (leads, samples)."""
        mixing, present = lead_matrix(preprocessor.leads, leads)
        self.present: Bool[Tensor, " l"] = torch.from_numpy(present).to(device)
        self._mixing = torch.from_numpy(mixing).to(device)
        filtering = _time_matrix(preprocessor, samples, sampling_rate)
        self._filtering = None if filtering is None else torch.from_numpy(filtering).to(device)
        self._samples = preprocessor.samples
        self._normalisation = preprocessor.normalisation

    def __call__(
        self,
        digital: Int16[Tensor, "b recorded samples"],
        gain: Float[Tensor, "b recorded"],
        baseline: Float[Tensor, "b recorded"],
    ) -> Float[Tensor, "b l window"]:
        """Return what the preprocessor makes of each recording, to rounding; zeros if absent."""
        signal_mv = (digital.float() - baseline[..., None]) / gain[..., None]
        signal = torch.einsum("b r s, l r -> b l s", signal_mv, self._mixing)
        if self._filtering is not None:
            signal = signal @ self._filtering
        signal = signal[..., : self._samples]
        offset, scale = self._statistics(signal)
        signal = (signal - offset) / scale.where(scale > SMALLEST_SCALE_MV, 1.0)
        signal = signal * self.present[:, None]
        return torch.nn.functional.pad(signal, (0, self._samples - signal.shape[-1]))

    def _statistics(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        if self._normalisation == "lead":
            return signal.mean(-1, keepdim=True), signal.std(-1, keepdim=True, correction=0)
        if self._normalisation == "none":
            return signal.new_zeros(()), signal.new_ones(())
        share = self.present.float().mean() * signal.shape[1] * signal.shape[2]
        offset = signal.sum((1, 2), keepdim=True) / share  # absent leads are zeros
        deviation = (signal - offset) * self.present[:, None]
        return offset, (deviation.square().sum((1, 2), keepdim=True) / share).sqrt()


def lead_matrix(
    wanted: tuple[str, ...], recorded: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (wanted, recorded) of the recorded leads, and which wanted ones there are."""
    return select_leads(wanted, np.eye(len(recorded), dtype=np.float32), recorded)


def _time_matrix(preprocessor: Preprocessor, samples: int, sampling_rate: int) -> np.ndarray | None:
    """Return float32 (samples, samples out): the response to an impulse at each sample.

    None where the samples stay as they are.
    """
    if preprocessor.band_hz is None and preprocessor.sampling_rate == sampling_rate:
        return None
    return preprocessor.filter(np.eye(samples), sampling_rate=sampling_rate).astype(np.float32)

"""The preprocessor for whole batches, on the device of the model.

Lead selection, resampling and band-pass are linear in the samples of a recording of given length.
Here they are two matrices, which the preprocessor's own functions make from unit impulses, so that
the two ways cannot drift apart.
"""

import numpy as np
import torch
from einops import repeat
from jaxtyping import Bool, Float, Int, Int16
from torch import Tensor

from lamae.ecg.leads import select_leads
from lamae.ecg.preprocess import SMALLEST_SCALE_MV, Preprocessor

_IMPULSES_AT_ONCE = 1024
_LARGEST_MATRIX = 2**29
"""Numbers in the larger matrix, 2 GiB: enough for a minute, resampled from 500 Hz to 250 Hz."""


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
        starts: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b l window"]:
        """Return what the preprocessor makes of each recording, to rounding; zeros if absent.

        `starts` are those of the windows, as the preprocessor takes them; without, the first.
        """
        signal_mv = (digital.float() - baseline[..., None]) / gain[..., None]
        signal = torch.einsum("b r s, l r -> b l s", signal_mv, self._mixing)
        signal = self._filtered_window(signal, starts)
        offset, scale = self._statistics(signal)
        signal = (signal - offset) / scale.where(scale > SMALLEST_SCALE_MV, 1.0)
        signal = signal * self.present[:, None]
        return torch.nn.functional.pad(signal, (0, self._samples - signal.shape[-1]))

    def _filtered_window(self, signal: Tensor, starts: Tensor | None) -> Tensor:
        filtering, window = self._filtering, self._samples
        if starts is None:
            chosen = filtering if filtering is None else filtering[:, :window]
            return signal[..., :window] if chosen is None else signal @ chosen
        if filtering is not None:
            signal = signal @ filtering
        length = signal.shape[-1]
        if length <= window:  # zeros will stand behind it
            return signal
        first = starts.clamp(0, length - window)
        times = first[:, None] + torch.arange(window, device=signal.device)
        return signal.gather(-1, repeat(times, "b w -> b l w", l=signal.shape[1]))

    def _statistics(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        if self._normalisation == "lead":
            return signal.mean(-1, keepdim=True), signal.std(-1, keepdim=True, correction=0)
        if self._normalisation == "none":
            return signal.new_zeros(()), signal.new_ones(())
        share = self.present.float().mean() * signal.shape[1] * signal.shape[2]
        offset = signal.sum((1, 2), keepdim=True) / share  # absent leads are zeros
        deviation = (signal - offset) * self.present[:, None]
        return offset, (deviation.square().sum((1, 2), keepdim=True) / share).sqrt()


def is_for_batches(
    preprocessor: Preprocessor, *, leads: tuple[str, ...], samples: int, sampling_rate: int
) -> bool:
    """Return whether there is a batch preprocessor for such recordings.

    There is none if they have none of the preprocessor's leads or are minutes long.
    """
    (length,) = preprocessor.lengths(np.array([samples]), np.array([sampling_rate])).tolist()
    _, present = lead_matrix(preprocessor.leads, leads)
    return samples * length <= _LARGEST_MATRIX and bool(present.any())


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
    blocks = []
    for first in range(0, samples, _IMPULSES_AT_ONCE):
        impulses = np.eye(min(_IMPULSES_AT_ONCE, samples - first), samples, first)
        filtered = preprocessor.filter(impulses, sampling_rate=sampling_rate)
        blocks.append(filtered.astype(np.float32))
    return np.concatenate(blocks)

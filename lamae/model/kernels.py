"""Fixed kernels: features of a signal that no training is needed for.

The kernels are MiniRocket's (Dempster, Schmidt and Webb 2021): all 84 of length 9 with six weights
of -1 and three of 2, at several dilations. A feature is the share of samples at which the response
of one kernel, at one dilation, is above a level; the levels are quantiles of the responses to some
recordings.
"""

from itertools import combinations

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lamae.model.settings import ALL_KERNELS, KernelSettings

LENGTH = 9
"""Samples that a kernel spans at dilation 1."""

_ROWS, _ROWS_OF_CPU = 4096, 64
"""Leads whose responses are held at once; on a CPU few enough for the caches of a core."""


class Kernels(nn.Module):
    """Fixed kernels, with levels set once from recordings."""

    weight: Tensor
    levels: Tensor

    def __init__(self, settings: KernelSettings) -> None:
        """Build the kernels; `set_levels` makes them useful."""
        super().__init__()
        self.settings = settings
        self.register_buffer("weight", _weights(settings.count), persistent=False)
        shape = (len(settings.dilations), len(settings.quantiles), settings.count)
        self.register_buffer("levels", torch.zeros(shape))

    @torch.no_grad()
    def set_levels(
        self, signal: Float[Tensor, "b l samples"], present: Bool[Tensor, "b l"] | None = None
    ) -> None:
        """Set the levels to quantiles of the responses to z-scored recordings, absent leads out."""
        rows = rearrange(signal, "b l s -> (b l) s")
        if present is not None:
            rows = rows[rearrange(present, "b l -> (b l)")]
        quantiles = torch.tensor(self.settings.quantiles, device=signal.device)
        for number, dilation in enumerate(self.settings.dilations):
            responses = self._responses(rows, dilation).flatten(1)
            step = max(responses.shape[1] // 250_000, 1)
            self.levels[number] = responses[:, ::step].quantile(quantiles, dim=1)

    @torch.no_grad()
    def forward(
        self, signal: Float[Tensor, "b l samples"], window: int
    ) -> Float[Tensor, "b l n features"]:
        """Return the shares of samples above each level, in windows of so many samples."""
        rows = rearrange(signal, "b l s -> (b l) s")
        at_once = _ROWS_OF_CPU if signal.device.type == "cpu" else _ROWS
        shares = torch.cat([self._shares(part, window) for part in rows.split(at_once)], dim=2)
        return rearrange(shares, "t k (b l) n -> b l n (t k)", b=len(signal))

    def _shares(
        self, rows: Float[Tensor, "rows samples"], window: int
    ) -> Float[Tensor, "t kernels rows n"]:
        """Return the shares by dilation and level, and by kernel."""
        counted = window // self.settings.every
        mean = torch.full((counted, 1), 1 / counted, device=rows.device)
        shares = []
        for levels, dilation in zip(self.levels, self.settings.dilations, strict=True):
            responses = self._responses(rows, dilation, every=self.settings.every)
            windows = rearrange(responses, "k r (n p) -> k r n p", p=counted)
            for level in levels:
                above = (windows > level[:, None, None, None]).to(rows.dtype)
                shares.append((above @ mean).squeeze(-1))
        return torch.stack(shares)

    def _responses(
        self, rows: Float[Tensor, "rows samples"], dilation: int, *, every: int = 1
    ) -> Float[Tensor, "kernels rows counted"]:
        """Return what each kernel makes of each row at every so many samples, zeros beyond it."""
        samples = rows.shape[1]
        padded = F.pad(rows, (LENGTH // 2 * dilation,) * 2)
        starts = range(0, LENGTH * dilation, dilation)
        taps = torch.stack([padded[:, start : start + samples : every] for start in starts])
        return (self.weight @ taps.flatten(1)).view(-1, *taps.shape[1:])


def _weights(count: int) -> Float[Tensor, "kernels 9"]:
    """Return kernels spread evenly over all."""
    places = torch.tensor(list(combinations(range(LENGTH), 3)))
    chosen = places[torch.linspace(0, ALL_KERNELS - 1, count).round().long()]
    return torch.full((count, LENGTH), -1.0).scatter(1, chosen, 2.0)


def over_windows(
    shares: Float[Tensor, "b l n features"], valid: Bool[Tensor, "b n"] | None
) -> Float[Tensor, "b l features"]:
    """Return the mean over the windows of a lead that were recorded."""
    if valid is None:
        return reduce(shares, "b l n f -> b l f", "mean")
    counts = valid[:, None, :, None].to(shares.dtype)
    return (shares * counts).sum(dim=2) / counts.sum(dim=2).clamp(min=1)

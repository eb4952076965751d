"""The encoder: each lead by itself, then latent attention across leads, then pooling over leads.

The methods that LAMAE is compared with are the same parts in another order, so that they have
equally many parameters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.model.amplitudes import AMPLITUDES, without_scale
from lamae.model.layers import Transformer, attended, initialise, rows_of_leads, sincos_positions
from lamae.model.masking import Mask, valid_tokens
from lamae.model.recorded import WHOLE, Recorded
from lamae.model.settings import EncoderSettings


class Latents(NamedTuple):
    """A batch as the encoder leaves it; of leads, those it was shown."""

    tokens: Float[Tensor, "b l t d"]
    """For each lead its CLS token, then its visible patches, after all blocks."""
    embedding: Float[Tensor, "b d"]
    """One vector for a recording, whatever the order of its leads."""
    lead_weights: Float[Tensor, "b l"]
    """Share of each lead in the embedding; they sum to one, and an absent lead has zero."""
    lead_embeddings: Float[Tensor, "b l d"] | None = None
    """One vector for each lead where leads are kept apart; the embedding is their mean."""
    valid: Bool[Tensor, "b l t"] | None = None
    """False for the token of a patch of padding; None where there is none."""
    amplitudes: Float[Tensor, "b l a"] | None = None
    """Voltages of the leads it was shown, where the encoder reads mV."""


class PatchEmbedding(nn.Module):
    """Turn each patch into a token, without a look at its neighbours."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Build the stem."""
        super().__init__()
        self.patch_size = settings.patch_size
        channels = 16
        if settings.stem == "conv":
            self.stem: nn.Module = nn.Sequential(
                nn.Conv1d(1, channels, kernel_size=7, padding=3),
                nn.GELU(),
                nn.Conv1d(channels, channels, kernel_size=7, padding=3),
                nn.GELU(),
                nn.Flatten(),
            )
            self.project = nn.Linear(channels * self.patch_size, settings.width)
        else:
            self.stem = nn.Identity()
            self.project = nn.Linear(self.patch_size, settings.width)

    def forward(self, patches: Float[Tensor, "b l v p"]) -> Float[Tensor, "b l v d"]:
        """Embed each patch."""
        b, l, v, _ = patches.shape  # noqa: E741
        if isinstance(self.stem, nn.Identity):
            return self.project(patches)
        features = self.stem(rearrange(patches, "b l v p -> (b l v) 1 p"))
        return rearrange(self.project(features), "(b l v) d -> b l v d", b=b, l=l, v=v)


class LeadPooling(nn.Module):
    """Attention pooling with one learned query over a set of vectors, by default those of leads.

    a_l = softmax_l(q . W_k h_l / sqrt(d)), embedding = sum_l a_l W_v h_l.
    """

    def __init__(self, width: int) -> None:
        """Build query, key and value."""
        super().__init__()
        self.query = nn.Parameter(torch.randn(width))
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(
        self, leads: Float[Tensor, "b l d"], present: Bool[Tensor, "b l"] | None
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b l"]]:
        """Return the pooled vector and the weight of each lead."""
        scores = self.key(leads) @ self.query / leads.shape[-1] ** 0.5
        if present is not None:
            scores = scores.masked_fill(~present, float("-inf"))
        weights = scores.softmax(dim=-1)
        return torch.einsum("b l, b l d -> b d", weights, self.value(leads)), weights


class Encoder(nn.Module):
    """Per-lead transformer on visible patches, latent attention, pooling over leads."""

    def __init__(self, settings: EncoderSettings) -> None:
        """Build an encoder with random weights."""
        super().__init__()
        self.settings = settings
        width, heads = settings.width, settings.heads
        per_lead, latent, joint = _depths(settings)
        self.embed = PatchEmbedding(settings)
        self.cls = nn.Parameter(torch.randn(width))
        self.per_lead = Transformer(width=width, depth=per_lead, heads=heads)
        self.norm = nn.LayerNorm(width)
        self.latent = Transformer(width=width, depth=latent, heads=heads)
        self.joint = Transformer(width=width, depth=joint, heads=heads)
        self.pool = LeadPooling(width)
        knows_lead = settings.lead_embedding or settings.method == "joint"
        self.lead_embedding = nn.Parameter(torch.randn(len(LEADS), width)) if knows_lead else None
        self.apply(initialise)
        for transformer in (self.per_lead, self.latent, self.joint):
            transformer.attend_to_alike()
        self.latent.start_as_identity()

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        *,
        mask: Mask | None = None,
        recorded: Recorded = WHOLE,
    ) -> Latents:
        """Encode the visible patches of any leads in any order.

        Args:
            signal: normalised by the model's preprocessor; whole patches.
            leads: canonical names of the rows of `signal`.
            mask: patches and leads to encode; all without it.
            recorded: leads and patches of the recordings; nothing attends to the others.

        Raises InputError where the signal does not fit the leads or the patch size.
        """
        self._check(signal, leads)
        visible, seen = (mask.visible, mask.seen) if mask else (None, None)
        signal, amplitudes = self.scaled(signal, recorded)
        tokens = self._embed(signal, leads, visible, seen)
        present = recorded.present
        if seen is not None:
            present = None if present is None else present.gather(1, seen)
            if amplitudes is not None:
                amplitudes = amplitudes.gather(1, repeat(seen, "b s -> b s a", a=AMPLITUDES))
        valid = valid_tokens(visible, recorded.valid, leads=tokens.shape[1])
        of_lead = attended(valid, None, tokens=tokens.shape[2])
        of_recording = attended(valid, present, tokens=tokens.shape[2])
        tokens = self.joint.all_leads(tokens, of_recording)
        tokens = self.norm(self.per_lead.each_lead(tokens, of_lead))
        tokens = self.latent.all_leads(tokens, of_recording)
        if self.settings.keeps_leads_apart:
            latents = self._pool_each_lead(tokens, of_lead, present)
            return latents._replace(amplitudes=amplitudes)
        embedding, lead_weights = self.pool(tokens[:, :, 0], present)
        return Latents(tokens, embedding, lead_weights, valid=of_lead, amplitudes=amplitudes)

    def scaled(
        self, signal: Float[Tensor, "b l samples"], recorded: Recorded
    ) -> tuple[Float[Tensor, "b l samples"], Float[Tensor, "b l a"] | None]:
        """Return the signal as the patches see it, and amplitudes where mV are read."""
        if not self.settings.millivolts:
            return signal, None
        return without_scale(signal, recorded)

    def _pool_each_lead(
        self, tokens: Float[Tensor, "b l t d"], sees: Tensor | None, present: Tensor | None
    ) -> Latents:
        """Pool the tokens of each lead, then take the mean, so that no lead sees another."""
        flat = None if sees is None else rearrange(sees, "b l t -> (b l) t")
        pooled, _ = self.pool(rearrange(tokens, "b l t d -> (b l) t d"), flat)
        each = rearrange(pooled, "(b l) d -> b l d", b=tokens.shape[0])
        if present is None:
            present = torch.ones(each.shape[:2], dtype=torch.bool, device=each.device)
        weights = present / present.sum(dim=1, keepdim=True)
        embedding = (weights[..., None] * each).sum(dim=1)
        return Latents(tokens, embedding, weights, each, sees)

    def _embed(
        self, signal: Tensor, leads: Sequence[str], visible: Tensor | None, seen: Tensor | None
    ) -> Float[Tensor, "b s t d"]:
        patches = rearrange(signal, "b l (n p) -> b l n p", p=self.settings.patch_size)
        b, _, n, p = patches.shape
        if seen is not None:
            patches = patches.gather(1, repeat(seen, "b s -> b s n p", n=n, p=p))
        positions = sincos_positions(
            n, self.settings.width, device=signal.device, base=self.settings.position_base
        )
        if visible is None:
            tokens = self.embed(patches) + positions
        else:
            patches = patches.gather(2, repeat(visible, "b s v -> b s v p", p=p))
            tokens = self.embed(patches) + positions[visible]
        cls: Tensor = repeat(self.cls, "d -> b s 1 d", b=b, s=tokens.shape[1])
        if self.lead_embedding is not None:
            rows = rows_of_leads(self.lead_embedding, leads)
            names = (rows if seen is None else rows[seen])[..., None, :]
            tokens = tokens + names
            if self.settings.method == "joint":  # its CLS tokens would else all become the same
                cls = cls + names
        return torch.cat([cls, tokens], dim=2)

    def _check(self, signal: Tensor, leads: Sequence[str]) -> None:
        if signal.shape[1] != len(leads):
            raise InputError(
                "signal",
                value=f"{signal.shape[1]} rows",
                expected=f"one for each of {', '.join(leads)}",
                remedy="Name the leads of the rows, in their order.",
            )
        if signal.shape[2] % self.settings.patch_size:
            raise InputError(
                "signal",
                value=f"{signal.shape[2]} samples",
                expected=f"a multiple of patch_size {self.settings.patch_size}",
                remedy="Change duration_s or sampling_rate, or the patch size.",
            )


def _depths(settings: EncoderSettings) -> tuple[int, int, int]:
    """Return the blocks that see one lead, those of latent attention, those that see all."""
    blocks = settings.depth + settings.latent_depth
    if settings.method == "lamae":
        return settings.depth, settings.latent_depth, 0
    return (0, 0, blocks) if settings.method == "joint" else (blocks, 0, 0)

"""An encoder that LAMAE did not train, in the place of one that it did.

All that a classifier asks of an encoder is `Latents` of a batch. Those of a LAMAE encoder have a
row of tokens for each lead; those of another have one row for all leads together, with the
embedding in front where LAMAE has its CLS token. So every pooling and head works on both.
"""

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from finetune.encoders.description import OtherEncoderSettings
from lamae.batches.dataset import Batch
from lamae.errors import InputError
from lamae.model.encoder import Encoder, Latents
from lamae.model.recorded import WHOLE, Recorded, recorded_parts
from lamae.model.settings import EncoderSettings

_SMOOTH = 1e-8


class Network(nn.Module):
    """Network of an encoder: called with the array that it reads, it returns its first output."""

    errors: tuple[type[Exception], ...] = (RuntimeError,)
    """Errors that it raises for an array that it cannot read."""


class OtherEncoder(nn.Module):
    """A network with its description, called as LAMAE's encoder is."""

    def __init__(self, settings: OtherEncoderSettings, network: Network) -> None:
        """Join the two."""
        super().__init__()
        self.settings = settings
        self.network = network

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        leads: Sequence[str],
        *,
        recorded: Recorded = WHOLE,
    ) -> Latents:
        """Encode; it sees zeros in an absent lead and behind a short recording.

        Args:
            signal: by the encoder's own preprocessor.
            leads: canonical names of the rows of `signal`: those of the preprocessor.
            recorded: not used; such an encoder cannot leave leads out.

        Raises InputError for other leads, and where the network gives what is not described.
        """
        settings = self.settings
        if tuple(leads) != settings.preprocess.leads:
            raise InputError(
                "leads of a signal",
                value=", ".join(leads),
                expected=f"{', '.join(settings.preprocess.leads)}, which the encoder reads",
                remedy="Prepare recordings with the encoder's own preprocessor.",
            )
        if settings.rescale == "min_max":
            signal = between_minus_one_and_one(signal)
        given = self.network(rearrange(signal, f"b l s -> {settings.signal}"))
        self._check(given, len(signal))
        if settings.layout == "embedding":
            return _one_row(given, given[:, None])
        return _one_row(given.mean(dim=1), given)

    def train(self, mode: bool = True) -> "OtherEncoder":
        """Change mode; a network that nobody trains stays as it is used, without dropout."""
        learns = any(parameter.requires_grad for parameter in self.parameters())
        super().train(mode and learns)
        return self

    def _check(self, given: object, recordings: int) -> None:
        settings = self.settings
        named = {"tokens": ("tokens", 3), "embedding": ("embeddings", 2)}
        what, axes = named[settings.layout]
        shape = tuple(given.shape) if isinstance(given, Tensor) else (type(given).__name__,)
        if len(shape) != axes or shape[0] != recordings or shape[-1] != settings.width:
            between = ", tokens" if axes == 3 else ""
            raise InputError(
                f"encoder {settings.file}",
                value=f"output {shape} for {recordings} recordings",
                expected=f"{what} ({recordings}{between}, {settings.width})",
                remedy="Correct width, layout and signal in its description, or export it with "
                "recordings as a first axis of any length.",
            )


AnyEncoder = Encoder | OtherEncoder
"""An encoder that a classifier can be built around."""

AnyEncoderSettings = EncoderSettings | OtherEncoderSettings
"""Settings of such an encoder."""


def between_minus_one_and_one(signal: Float[Tensor, "b l s"]) -> Float[Tensor, "b l s"]:
    """Scale each lead from -1 at its lowest to 1 at its highest; a flat one is -1.

    So HuBERT-ECG's recordings are, there over all of a recording (its code/utils.py, `scaling`).
    """
    lowest, highest = signal.amin(-1, keepdim=True), signal.amax(-1, keepdim=True)
    return 2 * (signal - lowest) / (highest - lowest + _SMOOTH) - 1


def leads_apart(encoder: AnyEncoder, leads: Sequence[str]) -> tuple[str, ...]:
    """Return the leads that have a row of tokens each; none where one row is of all leads."""
    return () if isinstance(encoder, OtherEncoder) else tuple(leads)


def present_rows(
    encoder: AnyEncoder, present: Bool[Tensor, "b l"] | None
) -> Bool[Tensor, "b l"] | None:
    """Return which rows of an encoder's tokens count; None for all."""
    return None if isinstance(encoder, OtherEncoder) else present


def recorded_of(batch: Batch, encoder: AnyEncoderSettings | None) -> Recorded:
    """Return what was recorded of a batch; patches for an encoder that has them."""
    if encoder is None or isinstance(encoder, OtherEncoderSettings):
        return Recorded(batch.present, samples=batch.samples)
    size = encoder.patch_size
    patches = batch.signal.shape[-1] // size
    return recorded_parts(batch.present, batch.samples, patches=patches, patch_size=size)


def _one_row(embedding: Float[Tensor, "b d"], tokens: Float[Tensor, "b n d"]) -> Latents:
    embedding = embedding.float()
    whole = torch.cat([embedding[:, None], tokens.float()], dim=1)
    share = repeat(embedding.new_ones(()), " -> b 1", b=len(embedding))
    return Latents(whole[:, None], embedding, share)

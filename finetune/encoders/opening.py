"""Encoders from disk: a run of LAMAE's own, or a description of another."""

import shutil
from pathlib import Path
from typing import NamedTuple

import torch

from finetune.encoders.description import OtherEncoderSettings, located, read_description
from finetune.encoders.hubert_ecg import HubertNetwork
from finetune.encoders.onnx_file import OnnxNetwork
from finetune.encoders.other_encoder import (
    AnyEncoder,
    AnyEncoderSettings,
    Network,
    OtherEncoder,
)
from finetune.encoders.torchscript_file import TorchScriptNetwork
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.checkpoint import Loaded, load_autoencoder
from lamae.model.encoder import Encoder

_TRIED = (2, 3)
"""Recordings in the batches that an encoder is tried on."""


class Opened(NamedTuple):
    """A pretrained encoder."""

    encoder: AnyEncoder
    """Itself, in evaluation mode."""
    preprocessor: Preprocessor
    """Preprocessor of its pretraining."""
    autoencoder: Loaded | None
    """The autoencoder that it is part of; None for an encoder that LAMAE did not train."""


def open_encoder(path: Path) -> Opened:
    """Load the encoder of a run, of a model folder, or that a YAML file describes.

    Raises InputError if there is none, it is damaged, or it is not as described.
    """
    if not path.is_file():
        loaded = load_autoencoder(path)
        return Opened(loaded.model.encoder, loaded.preprocessor, loaded)
    settings = read_description(path)
    encoder = _new_other_encoder(settings)
    if isinstance(encoder.network, HubertNetwork):
        encoder.network.load(settings.file)
    encoder.eval()
    _try(encoder)
    return Opened(encoder, settings.preprocess, None)


def new_encoder(settings: AnyEncoderSettings) -> AnyEncoder:
    """Build an encoder: with random weights, or those in its file where they cannot be drawn."""
    if isinstance(settings, OtherEncoderSettings):
        return _new_other_encoder(settings)
    return Encoder(settings)


def _new_other_encoder(settings: OtherEncoderSettings) -> OtherEncoder:
    network: Network
    if settings.kind == "hubert":
        network = HubertNetwork(settings.hubert or {})
    elif settings.kind == "onnx":
        network = OnnxNetwork(settings.file)
    else:
        network = TorchScriptNetwork(settings.file)
    return OtherEncoder(settings, network)


def agreed_preprocessor(
    given: Preprocessor | None, own: Preprocessor, *, encoder: Path
) -> Preprocessor:
    """Return an encoder's own preprocessor; raises InputError where another is given."""
    if given is not None and given != own:
        wanted, found = given.model_dump(), own.model_dump()
        differing = [name for name in wanted if wanted[name] != found[name]]
        raise InputError(
            f"preprocess.{differing[0]}",
            value=str(wanted[differing[0]]),
            expected=f"{found[differing[0]]}, with which {encoder} was trained",
            remedy="Leave preprocess out to take the encoder's.",
        )
    return own


def can_be_random(settings: AnyEncoderSettings) -> bool:
    """Return whether `new_encoder` draws weights: a file holds them together with the network."""
    return not isinstance(settings, OtherEncoderSettings) or settings.kind == "hubert"


def kept_in(folder: Path, settings: AnyEncoderSettings | None) -> AnyEncoderSettings | None:
    """Copy into a classifier's folder the file that it cannot do without, and point there."""
    if not isinstance(settings, OtherEncoderSettings) or can_be_random(settings):
        return settings
    name = f"encoder{settings.file.suffix}"
    shutil.copyfile(settings.file, folder / name)
    return settings.model_copy(update={"file": Path(name)})


def found_in(folder: Path, settings: AnyEncoderSettings | None) -> AnyEncoderSettings | None:
    """Point to the file that `kept_in` copied; raises InputError where it is another now."""
    if not isinstance(settings, OtherEncoderSettings) or can_be_random(settings):
        return settings
    return located(settings, folder, whose=f"classifier {folder}")


@torch.inference_mode()
def _try(encoder: OtherEncoder) -> None:
    """Encode silence; raises InputError where that fails or is not as described."""
    settings = encoder.settings
    reads = settings.preprocess
    for recordings in _TRIED:
        signal = torch.zeros(recordings, len(reads.leads), reads.samples)
        try:
            encoder(signal, reads.leads)
        except encoder.network.errors as error:
            raise InputError(
                f"encoder {settings.file}",
                value=f"refuses {recordings} recordings: {str(error).strip().splitlines()[-1]}",
                expected=f"an array {settings.signal} of {len(reads.leads)} leads and "
                f"{reads.samples} samples, for any number of recordings b",
                remedy="Correct preprocess and signal in its description, or export it with "
                "recordings as a first axis of any length.",
            ) from None

"""What is compared: the classifier in question, and the baselines beside it."""

import copy
from pathlib import Path
from typing import NamedTuple

import torch

from finetune.classifiers import Architecture
from finetune.encoders.opening import Opened, can_be_random, new_encoder, open_encoder
from finetune.encoders.other_encoder import AnyEncoder, OtherEncoder
from finetune.settings import WITHOUT_ENCODER, FinetuneSettings, Mode, TrainingSettings
from lamae.checkpoint import Loaded
from lamae.errors import InputError
from lamae.preprocess import Preprocessor

PRETRAINED, RANDOM, SUPERVISED = "pretrained", "random", "supervised"
"""Names of contenders; one without an encoder goes by its mode."""

KERNELS, KERNELS_AND_ENCODER = "kernels", "kernels_and_encoder"
"""Names of probes that are no contender's: of untrained features, alone and beside an encoder's."""


class Contender(NamedTuple):
    """A classifier before it is trained."""

    architecture: Architecture
    """What it is built from."""
    encoder: AnyEncoder | None
    """Encoder that it is built around, its own; None in modes without."""
    training: TrainingSettings
    """How it is trained, in all modes but probe."""


class Contest(NamedTuple):
    """The classifier in question and its baselines, on one preprocessor."""

    contenders: dict[str, Contender]
    """By name, the classifier in question first."""
    preprocess: Preprocessor
    """What all of them read."""
    loaded: Loaded | None
    """The pretrained autoencoder, as it was; None without one, or with an encoder of others."""


def make_contest(settings: FinetuneSettings, classes: tuple[str, ...]) -> Contest:
    """Load the encoder, and put it beside the baselines that the settings ask for.

    An encoder in a file with its weights has no baseline of random ones. Raises InputError where
    there is no encoder, it cannot do what the mode asks, or has another preprocessor than is given.
    """
    opened = open_encoder(settings.encoder) if settings.encoder else None
    preprocess = _preprocessor(settings, opened)
    contenders: dict[str, Contender] = {}
    torch.manual_seed(settings.seed)

    def contender(mode: Mode, encoder: AnyEncoder | None, training: TrainingSettings) -> Contender:
        architecture = Architecture(
            mode=mode,
            classes=classes,
            multi_label=settings.multi_label,
            preprocess=preprocess,
            pooling=settings.pooling,
            encoder=None if encoder is None else encoder.settings,
            lasan=settings.lasan,
            cnn_attention_bilstm=settings.cnn_attention_bilstm,
            hierarchical_transformer=settings.hierarchical_transformer,
        )
        return Contender(architecture, encoder, training)

    if settings.mode in WITHOUT_ENCODER or opened is None:
        contenders[settings.mode] = contender(settings.mode, None, settings.training)
    else:
        _check_mode(settings, opened.encoder)
        own = opened.encoder if opened.autoencoder is None else copy.deepcopy(opened.encoder)
        contenders[PRETRAINED] = contender(settings.mode, own, settings.training)
        if RANDOM in settings.compared_with and can_be_random(own.settings):
            random = new_encoder(own.settings)
            from_scratch = settings.training.model_copy(update={"layer_decay": 1.0})
            contenders[RANDOM] = contender(settings.mode, random, from_scratch)
    if SUPERVISED in settings.compared_with:
        contenders[SUPERVISED] = contender("cnn_attention_bilstm", None, settings.supervised)
    return Contest(contenders, preprocess, opened.autoencoder if opened else None)


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


def _check_mode(settings: FinetuneSettings, encoder: AnyEncoder) -> None:
    """Raise InputError where an encoder of others lacks what the mode needs."""
    if not isinstance(encoder, OtherEncoder):
        return
    kind, layout = encoder.settings.kind, encoder.settings.layout
    if settings.mode in ("full", "probe_then_full") and not any(True for _ in encoder.parameters()):
        raise InputError(
            f"mode {settings.mode} of {settings.encoder}",
            value=f"an encoder of kind {kind} without weights that can be trained",
            expected="weights that can be trained, as hubert has and torchscript unless frozen",
            remedy="Use mode probe, attention_probe or hybrid, which leave the encoder as it is.",
        )
    if settings.mode == "attention_probe" and layout == "embedding":
        raise InputError(
            f"mode attention_probe of {settings.encoder}",
            value="layout: embedding",
            expected="layout: tokens, which the probe attends to",
            remedy="Use mode probe, or export the encoder with its tokens as the first output.",
        )


def _preprocessor(settings: FinetuneSettings, opened: Opened | None) -> Preprocessor:
    """Return what all contenders read; raises InputError where encoder and settings disagree."""
    given = settings.preprocess
    if opened is None:
        return given or Preprocessor()
    assert settings.encoder is not None, "it is open"
    return agreed_preprocessor(given, opened.preprocessor, encoder=settings.encoder)

"""Candidates of an experiment: the classifier in question, and the baselines beside it."""

import copy
from typing import NamedTuple

import torch

from finetune.classifiers.classifier import Architecture
from finetune.classifiers.settings import WITHOUT_ENCODER, Mode
from finetune.encoders.opening import (
    Opened,
    agreed_preprocessor,
    can_be_random,
    new_encoder,
    open_encoder,
)
from finetune.encoders.other_encoder import AnyEncoder, OtherEncoder
from finetune.settings import FinetuneSettings
from finetune.training.settings import TrainingSettings
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.checkpoint import Loaded

PRETRAINED, RANDOM, SUPERVISED = "pretrained", "random", "supervised"
"""Names of candidates; one without an encoder goes by its mode."""


class Candidate(NamedTuple):
    """A classifier before it is trained."""

    architecture: Architecture
    """Its architecture."""
    encoder: AnyEncoder | None
    """Encoder that it is built around, its own; None in modes without."""
    training: TrainingSettings
    """Settings of its training, in all modes but probe."""


class Candidates(NamedTuple):
    """The classifier in question and its baselines, on one preprocessor."""

    by_name: dict[str, Candidate]
    """Each by its name, the classifier in question first."""
    preprocess: Preprocessor
    """Preprocessor of all of them."""
    loaded: Loaded | None
    """The pretrained autoencoder, as it was; None without one, or with an encoder of others."""


def make_candidates(settings: FinetuneSettings, classes: tuple[str, ...]) -> Candidates:
    """Load the encoder, and put it beside the baselines that the settings ask for.

    An encoder in a file with its weights has no baseline of random ones. Raises InputError where
    there is no encoder, it cannot do what the mode asks, or has another preprocessor than is given.
    """
    opened = open_encoder(settings.encoder) if settings.encoder else None
    preprocess = _preprocessor(settings, opened)
    candidates: dict[str, Candidate] = {}
    torch.manual_seed(settings.seed)

    def candidate(mode: Mode, encoder: AnyEncoder | None, training: TrainingSettings) -> Candidate:
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
        return Candidate(architecture, encoder, training)

    if settings.mode in WITHOUT_ENCODER or opened is None:
        candidates[settings.mode] = candidate(settings.mode, None, settings.training)
    else:
        _check_mode(settings, opened.encoder)
        own = opened.encoder if opened.autoencoder is None else copy.deepcopy(opened.encoder)
        candidates[PRETRAINED] = candidate(settings.mode, own, settings.training)
        if RANDOM in settings.compared_with and can_be_random(own.settings):
            random = new_encoder(own.settings)
            from_scratch = settings.training.model_copy(update={"layer_decay": 1.0})
            candidates[RANDOM] = candidate(settings.mode, random, from_scratch)
    if SUPERVISED in settings.compared_with:
        candidates[SUPERVISED] = candidate("cnn_attention_bilstm", None, settings.supervised)
    return Candidates(candidates, preprocess, opened.autoencoder if opened else None)


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
    """Return what all candidates read; raises InputError where encoder and settings disagree."""
    given = settings.preprocess
    if opened is None:
        return given or Preprocessor()
    assert settings.encoder is not None, "it is open"
    return agreed_preprocessor(given, opened.preprocessor, encoder=settings.encoder)

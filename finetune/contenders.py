"""What is compared: the classifier in question, and the baselines beside it."""

import copy
from typing import NamedTuple

import torch

from finetune.classifiers import Architecture
from finetune.settings import WITHOUT_ENCODER, FinetuneSettings, Mode, TrainingSettings
from lamae.checkpoint import Loaded, load_autoencoder
from lamae.encoder import Encoder
from lamae.errors import InputError
from lamae.preprocess import Preprocessor

PRETRAINED, RANDOM, SUPERVISED = "pretrained", "random", "supervised"
"""Names of contenders; one without an encoder goes by its mode."""


class Contender(NamedTuple):
    """A classifier before it is trained."""

    architecture: Architecture
    """What it is built from."""
    encoder: Encoder | None
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
    """The pretrained autoencoder, as it was; None without one."""


def make_contest(settings: FinetuneSettings, classes: tuple[str, ...]) -> Contest:
    """Load the encoder, and put it beside the baselines that the settings ask for.

    Raises InputError where there is no encoder, or it has another preprocessor than is given.
    """
    loaded = load_autoencoder(settings.encoder) if settings.encoder else None
    preprocess = _preprocessor(settings, loaded)
    contenders: dict[str, Contender] = {}
    torch.manual_seed(settings.seed)

    def contender(mode: Mode, encoder: Encoder | None, training: TrainingSettings) -> Contender:
        architecture = Architecture(
            mode=mode,
            classes=classes,
            multi_label=settings.multi_label,
            preprocess=preprocess,
            pooling=settings.pooling,
            encoder=None if encoder is None else encoder.settings,
            lasan=settings.lasan,
            cnn_attention_bilstm=settings.cnn_attention_bilstm,
        )
        return Contender(architecture, encoder, training)

    if settings.mode in WITHOUT_ENCODER or loaded is None:
        contenders[settings.mode] = contender(settings.mode, None, settings.training)
    else:
        own = copy.deepcopy(loaded.model.encoder)
        contenders[PRETRAINED] = contender(settings.mode, own, settings.training)
        if RANDOM in settings.compared_with:
            random = Encoder(loaded.model.settings.encoder)
            from_scratch = settings.training.model_copy(update={"layer_decay": 1.0})
            contenders[RANDOM] = contender(settings.mode, random, from_scratch)
    if SUPERVISED in settings.compared_with:
        contenders[SUPERVISED] = contender("cnn_attention_bilstm", None, settings.supervised)
    return Contest(contenders, preprocess, loaded)


def _preprocessor(settings: FinetuneSettings, loaded: Loaded | None) -> Preprocessor:
    """Return what all contenders read; raises InputError where encoder and settings disagree."""
    given = settings.preprocess
    if loaded is None:
        return given or Preprocessor()
    if given is not None and given != loaded.preprocessor:
        wanted, found = given.model_dump(), loaded.preprocessor.model_dump()
        differing = [name for name in wanted if wanted[name] != found[name]]
        raise InputError(
            f"preprocess.{differing[0]}",
            value=str(wanted[differing[0]]),
            expected=f"{found[differing[0]]}, with which {settings.encoder} was trained",
            remedy="Leave preprocess out to take the encoder's.",
        )
    return loaded.preprocessor

"""Autoencoders and encoders on disk.

A model folder holds `config.json` (architecture and preprocessor), `model.safetensors`,
`state.json` with its step, and `files.json` with the checksums of the others, which are verified
before anything is read. A checkpoint is a model folder with training state beside it.
"""

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from lamae.config import read_settings
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.files import read_json, unreadable, whole_folder
from lamae.model.autoencoder import LAMAE
from lamae.model.encoder import Encoder
from lamae.model.model_folder import load_model, read_config, write_folder
from lamae.model.settings import AutoencoderSettings
from lamae.runs.checksums import verify_checksums
from lamae.runs.run_folder import (
    CONFIG,
    MODEL_FILES,
    MODEL_FOLDER,
    STATE,
    WEIGHTS,
    files_of,
    newest_checkpoint,
    newest_intact,
    step_of,
)


class Loaded(NamedTuple):
    """An autoencoder and the preprocessor it was trained with."""

    model: LAMAE
    preprocessor: Preprocessor


class LoadedEncoder(NamedTuple):
    """An encoder and the preprocessor it was trained with."""

    model: Encoder
    preprocessor: Preprocessor


def save_model(folder: Path, model: LAMAE, preprocessor: Preprocessor, *, step: int = 0) -> None:
    """Write the model folder of a step; it appears whole or not at all."""
    with whole_folder(folder) as partial:
        documents = {CONFIG: model_config(model, preprocessor), STATE: {"step": step}}
        write_folder(partial, tensors={WEIGHTS: model.state_dict()}, documents=documents)


def load_autoencoder(folder: Path | str) -> Loaded:
    """Load the autoencoder of a model folder, a checkpoint or a run.

    Raises InputError if there is none, it is damaged, or its weights do not fit its architecture.
    """
    folder = find_model_folder(Path(folder))
    settings, preprocessor = read_config(
        folder,
        _parse,
        needs=files_of(folder, MODEL_FILES),
        kind="a model",
        remedy="Use the version that wrote it, or train again.",
    )
    model = load_model(lambda: LAMAE(settings), folder)
    return Loaded(model.eval(), preprocessor)


def load_encoder(folder: Path | str) -> LoadedEncoder:
    """Load the encoder of a model folder, a checkpoint or a run, with its preprocessor."""
    model, preprocessor = load_autoencoder(folder)
    return LoadedEncoder(model.encoder, preprocessor)


def model_config(model: LAMAE, preprocessor: Preprocessor) -> dict[str, Any]:
    """Return the content of `config.json` of a model."""
    return _dump(model.settings, preprocessor)


def current_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as this version writes it: later settings have their defaults.

    One that this version cannot read is returned as it is.
    """
    try:
        settings, preprocessor = _parse(config)
    except (ValidationError, KeyError, TypeError):
        return config
    return config | _dump(settings, preprocessor)


def _parse(config: dict[str, Any]) -> tuple[AutoencoderSettings, Preprocessor]:
    return (
        read_settings(AutoencoderSettings, config["model"]),
        read_settings(Preprocessor, config["preprocess"]),
    )


def _dump(settings: AutoencoderSettings, preprocessor: Preprocessor) -> dict[str, Any]:
    return {
        "model": settings.model_dump(mode="json"),
        "preprocess": preprocessor.model_dump(mode="json"),
    }


def _steps(path: Path) -> int:
    steps = read_json(path).get("step")
    if type(steps) is not int:
        raise unreadable(path, f"step {steps!r}", expected="the number of a step")
    return steps


def find_model_folder(folder: Path) -> Path:
    """Return the model of a run that has the most steps, or the folder itself."""
    if (folder / CONFIG).is_file():
        return folder
    of_run = folder / MODEL_FOLDER
    newest = newest_checkpoint(folder)
    if (of_run / CONFIG).is_file():
        verify_checksums(of_run, needs=MODEL_FILES)
        steps = _steps(of_run / STATE)
        # A finished run that was made longer and goes on has newer checkpoints.
        newer = newest_intact(folder) if newest and step_of(newest) > steps else None
        return newer if newer and step_of(newer) > steps else of_run
    if newest:
        return newest_intact(folder) or newest
    raise InputError(
        f"model folder {folder}",
        value=f"no {CONFIG}" if folder.is_dir() else "no such folder",
        expected=f"a run of pretrain/main.py, or a folder with {CONFIG} and {WEIGHTS}",
        remedy="Check encoder=.",
    )

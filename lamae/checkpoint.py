"""Models on disk: safetensors and JSON under a seal, never pickle.

A model folder holds `config.json` (architecture and preprocessor), `model.safetensors`,
`state.json` with its step, and `files.json` with the SHA-256 of the others, which is checked
before anything is read. A checkpoint is a model folder with training state beside it.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lamae.autoencoder import LAMAE, AutoencoderSettings
from lamae.encoder import Encoder
from lamae.errors import InputError
from lamae.files import whole_folder, write_json
from lamae.preprocess import Preprocessor
from lamae.run_folder import (
    CONFIG,
    MODEL_FILES,
    MODEL_FOLDER,
    STATE,
    WEIGHTS,
    newest_checkpoint,
    newest_intact,
    step_of,
)
from lamae.sealing import check_sealed, seal


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
        write_model(partial, model, preprocessor)
        write_json(partial / STATE, {"step": step})
        seal(partial)


def load_autoencoder(folder: Path) -> Loaded:
    """Load the autoencoder of a model folder, a checkpoint or a run.

    Raises InputError if there is none, it is damaged, or its weights do not fit its architecture.
    """
    folder = _model_folder(Path(folder))
    check_sealed(folder, needs=MODEL_FILES)
    config = read_json(folder / CONFIG)
    try:
        settings = AutoencoderSettings.model_validate(config["model"])
        preprocessor = Preprocessor.model_validate(config["preprocess"])
    except (ValidationError, KeyError) as error:
        raise InputError(
            f"model {folder / CONFIG}",
            value=str(error).replace("\n", " "),
            expected="the architecture and preprocessor of this version of LAMAE",
            remedy="Use the version that wrote it, or train again.",
        ) from None
    model = LAMAE(settings)
    load_weights(model, folder)
    return Loaded(model.eval(), preprocessor)


def load_encoder(folder: Path) -> LoadedEncoder:
    """Load the encoder of a model folder, a checkpoint or a run, with its preprocessor."""
    model, preprocessor = load_autoencoder(folder)
    return LoadedEncoder(model.encoder, preprocessor)


def model_config(model: LAMAE, preprocessor: Preprocessor) -> dict[str, Any]:
    """Return what `config.json` holds of a model."""
    return {
        "model": model.settings.model_dump(mode="json"),
        "preprocess": preprocessor.model_dump(mode="json"),
    }


def as_of_now(config: dict[str, Any]) -> dict[str, Any]:
    """Return what `config.json` would hold now: settings that came later have their defaults.

    One that this version cannot read is returned as it is.
    """
    try:
        model = AutoencoderSettings.model_validate(config["model"])
        preprocessor = Preprocessor.model_validate(config["preprocess"])
    except (ValidationError, KeyError):
        return config
    dumped = {"model": model, "preprocess": preprocessor}
    return config | {name: one.model_dump(mode="json") for name, one in dumped.items()}


def write_model(folder: Path, model: LAMAE, preprocessor: Preprocessor) -> None:
    """Write configuration and weights into a folder that is being filled."""
    write_json(folder / CONFIG, model_config(model, preprocessor))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)


def load_weights(model: nn.Module, folder: Path) -> None:
    """Load the weights of a folder in place; raises InputError if they do not fit."""
    weights = read_tensors(folder / WEIGHTS)
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if own != found:
        name = min(name for name, _ in own.items() ^ found.items())
        raise InputError(
            f"weights {folder / WEIGHTS}, {name}",
            value=f"shape {found.get(name, 'absent')}",
            expected=f"{own.get(name, 'no such weight')}, by {CONFIG}",
            remedy="Weights and config.json are not of one model: copy both from one place.",
        )
    model.load_state_dict(weights)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raises InputError if it is none."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error, expected="a whole safetensors file") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; raises InputError if it is no JSON object."""
    try:
        content = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise _unreadable(path, error, expected="a whole JSON file") from None
    if not isinstance(content, dict):
        raise _unreadable(path, type(content).__name__, expected="a JSON object")
    return content


def _unreadable(path: Path, found: object, *, expected: str) -> InputError:
    return InputError(
        f"file {path}",
        value=str(found),
        expected=expected,
        remedy="Copy the folder again, or use another checkpoint.",
    )


def _model_folder(folder: Path) -> Path:
    """Return the model of a run that has the most steps, or the folder itself."""
    if (folder / CONFIG).is_file():
        return folder
    of_run = folder / MODEL_FOLDER
    newest = newest_checkpoint(folder)
    if (of_run / CONFIG).is_file():
        check_sealed(of_run, needs=MODEL_FILES)
        steps = int(read_json(of_run / STATE)["step"])
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

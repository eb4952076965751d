"""Models and training state on disk: safetensors and JSON, never pickle.

A model folder holds `config.json` (architecture and preprocessor) and `model.safetensors`. A
checkpoint is a model folder that also holds `optimizer.safetensors`. Both have a `state.json`
with their step.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lamae.autoencoder import LAMAE, AutoencoderSettings
from lamae.encoder import Encoder
from lamae.errors import InputError
from lamae.files import whole_folder, write_json
from lamae.preprocess import Preprocessor

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
MODEL_FOLDER = "model"
"""Where a run keeps its final model."""

_CHECKPOINTS = "checkpoints"
_STEP = re.compile(r"step-(\d{8})")


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
        _write_model(partial, model, preprocessor)
        write_json(partial / STATE, {"step": step})


def load_autoencoder(folder: Path) -> Loaded:
    """Load the autoencoder of a model folder, a checkpoint or a run.

    Raises InputError if there is none, or its weights do not fit its architecture.
    """
    folder = _model_folder(Path(folder))
    config = _read_json(folder / CONFIG)
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
    _load_weights(model, folder)
    return Loaded(model.eval(), preprocessor)


def load_encoder(folder: Path) -> LoadedEncoder:
    """Load the encoder of a model folder, a checkpoint or a run, with its preprocessor."""
    model, preprocessor = load_autoencoder(folder)
    return LoadedEncoder(model.encoder, preprocessor)


def save_checkpoint(
    run_dir: Path,
    *,
    step: int,
    model: LAMAE,
    optimizer: torch.optim.Optimizer,
    preprocessor: Preprocessor,
    state: dict[str, Any],
    keep: int,
) -> Path:
    """Write the checkpoint of a step and drop all but the newest `keep`."""
    folder = run_dir / _CHECKPOINTS / f"step-{step:08d}"
    with whole_folder(folder) as partial:
        _write_model(partial, model, preprocessor)
        save_file(_optimizer_tensors(model, optimizer), partial / OPTIMIZER)
        write_json(partial / STATE, {"step": step, **state})
    for old in _checkpoints(run_dir)[:-keep]:
        shutil.rmtree(old)
    return folder


def newest_checkpoint(run_dir: Path) -> Path | None:
    """Return the checkpoint folder with the highest step, if there is any."""
    found = _checkpoints(run_dir)
    return found[-1] if found else None


def load_checkpoint(
    folder: Path, *, model: LAMAE, optimizer: torch.optim.Optimizer, preprocessor: Preprocessor
) -> dict[str, Any]:
    """Load weights and optimiser state in place; return the content of `state.json`.

    Raises InputError if the checkpoint is damaged, or has another architecture or preprocessor.
    """
    config = _read_json(folder / CONFIG)
    expected = _config(model, preprocessor)
    if config != expected:
        key, found, wanted = _first_difference(config, expected)
        raise InputError(
            f"checkpoint {folder}, {key}",
            value=repr(found),
            expected=f"{wanted!r}, as configured",
            remedy="Resume with the configuration it was made with, or use another run_dir.",
        )
    _load_weights(model, folder)
    _load_optimizer(model, optimizer, _read_tensors(folder / OPTIMIZER))
    return _read_json(folder / STATE)


def _config(model: LAMAE, preprocessor: Preprocessor) -> dict[str, Any]:
    return {
        "model": model.settings.model_dump(mode="json"),
        "preprocess": preprocessor.model_dump(mode="json"),
    }


def _write_model(folder: Path, model: LAMAE, preprocessor: Preprocessor) -> None:
    write_json(folder / CONFIG, _config(model, preprocessor))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / WEIGHTS)


def _load_weights(model: nn.Module, folder: Path) -> None:
    weights = _read_tensors(folder / WEIGHTS)
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


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error, expected="a whole safetensors file") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise _damaged(path, error, expected="a whole JSON file") from None
    if not isinstance(content, dict):
        raise _damaged(path, type(content).__name__, expected="a JSON object")
    return content


def _damaged(path: Path, found: object, *, expected: str) -> InputError:
    return InputError(
        f"file {path}",
        value=str(found),
        expected=expected,
        remedy="Copy the folder again, or use another checkpoint.",
    )


def _model_folder(folder: Path) -> Path:
    newest = newest_checkpoint(folder)
    of_run = [path for path in (folder / MODEL_FOLDER, newest) if path and _is_model(path)]
    if of_run:
        return max(of_run, key=_steps_done)  # a finished run that goes on has newer checkpoints
    if _is_model(folder):
        return folder
    raise InputError(
        f"model folder {folder}",
        value=f"no {CONFIG}" if folder.is_dir() else "no such folder",
        expected=f"a run of pretrain/main.py, or a folder with {CONFIG} and {WEIGHTS}",
        remedy="Check encoder=.",
    )


def _is_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def _steps_done(folder: Path) -> int:
    """Return the step of a model; 0 for one of an older version, whose checkpoint is as new."""
    if not (folder / STATE).is_file():
        return 0
    return int(_read_json(folder / STATE).get("step", 0))


def _checkpoints(run_dir: Path) -> list[Path]:
    folder = run_dir / _CHECKPOINTS
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _STEP.fullmatch(path.name))


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{key}.{name}": value.contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def _load_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {
            key.removesuffix(f".{name}"): value.to(parameter.device)
            for key, value in tensors.items()
            if key.endswith(f".{name}") and "." not in key.removesuffix(f".{name}")
        }


def _first_difference(found: Any, wanted: Any, path: str = "") -> tuple[str, Any, Any]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            if found.get(key) != wanted.get(key):
                inner = f"{path}.{key}" if path else key
                return _first_difference(found.get(key), wanted.get(key), inner)
    return path, found, wanted

"""A model that a run of finetune leaves: a folder of config.json and safetensors."""

from pathlib import Path
from typing import Any

from torch import nn

from lamae.errors import InputError
from lamae.model.model_folder import write_folder
from lamae.runs.run_folder import CONFIG, WEIGHTS
from lamae.runs.tracking import versions

NEEDS = (CONFIG, WEIGHTS)
"""Files of such a folder."""


def write_run_model(partial: Path, model: nn.Module, config: dict[str, Any]) -> None:
    """Write configuration, versions and weights into a folder that is being filled."""
    documents = {CONFIG: {**config, "versions": versions()}}
    write_folder(partial, tensors={WEIGHTS: model.state_dict()}, documents=documents)


def find_run_model(folder: Path, name: str, *, run_of: str) -> Path:
    """Return the folder of a model, from that folder or from its run.

    Args:
        folder: of the model or of the run.
        name: of the kind of model, and of its folder in a run.
        run_of: the command that makes such a run.

    Raises InputError if there is none.
    """
    given = Path(folder)
    folder = given if (given / CONFIG).is_file() else given / name
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"{name} {given}",
            value=f"no {CONFIG}" if given.is_dir() else "no such folder",
            expected=f"a run of {run_of}, or its folder {name}",
            remedy=f"Check {name}=.",
        )
    return folder

"""A model of finetune on disk: a folder of config.json and safetensors, with checksums."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from lamae.errors import InputError
from lamae.files import write_json
from lamae.model.checkpoint import read_json
from lamae.runs.checksums import check_sealed, seal
from lamae.runs.run_folder import CONFIG, WEIGHTS
from lamae.runs.tracking import versions


def write_model(partial: Path, model: nn.Module, config: dict[str, Any]) -> None:
    """Write configuration, versions, weights and their checksums into a folder being filled."""
    write_json(partial / CONFIG, {**config, "versions": versions()})
    weights = model.state_dict()
    save_file({k: v.contiguous().cpu() for k, v in weights.items()}, partial / WEIGHTS)
    seal(partial)


def find_model(folder: Path, name: str, *, run_of: str) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a model and its configuration, from that folder or from its run.

    Args:
        folder: of the model or of the run.
        name: what the model is, which is its folder's name in a run.
        run_of: the command that makes such a run.

    Raises InputError if there is none or it is damaged.
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
    check_sealed(folder, needs=(CONFIG, WEIGHTS))
    return folder, read_json(folder / CONFIG)

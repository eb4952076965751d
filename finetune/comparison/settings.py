"""Settings of a comparison of finished runs."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from finetune.run_settings import IntervalSettings, RunSettings
from lamae.config import FolderPath
from lamae.remote.locations import Location
from lamae.storage.settings import CacheSettings


def _by_name(value: Any) -> Any:
    """Name each folder of a plain list by itself, and make a list of a single folder."""
    if isinstance(value, list | tuple):
        names = [Path(str(folder)).name for folder in value]
        if len(set(names)) < len(names):
            raise ValueError(f"folders of one name, {names}: name the runs, {{NAME: FOLDER, ...}}")
        value = dict(zip(names, value, strict=True))
    if not isinstance(value, dict):
        return value
    found = {
        str(name): list(folders) if isinstance(folders, list | tuple) else [folders]
        for name, folders in value.items()
    }
    if not found or not all(found.values()):
        raise ValueError("at least one folder for each name, runs={NAME: FOLDER, OTHER: FOLDER}")
    every = [Path(str(folder)).resolve() for folders in found.values() for folder in folders]
    if len(set(every)) < len(every):
        raise ValueError("a folder is named twice")
    return found


class CompareSettings(RunSettings, IntervalSettings, CacheSettings):
    """Finished runs, and the folder for the report of their comparison."""

    runs: Annotated[dict[str, tuple[FolderPath, ...]], BeforeValidator(_by_name)]
    """Folders of finished runs, [A, B, ...] or {NAME: A, OTHER: [B, C], ...}: differences are of
    the first to each other. Several folders of one name are one method with several seeds, whose
    measures are means."""
    run_dir: FolderPath
    """Folder for the report."""
    data: Location | None = None
    """Shards of the recordings that were evaluated, for their patients; by default those of the
    first run."""

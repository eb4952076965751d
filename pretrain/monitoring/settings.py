"""Settings of a look at a run; they load without torch."""

from typing import Literal

from pydantic import Field

from lamae.config import FolderPath, Settings


class StatusSettings(Settings):
    """A run to look at, while it goes on or afterwards."""

    run_dir: FolderPath
    """Folder of the run."""
    format: Literal["text", "json"] = "text"
    """Lines to read, or all figures as JSON."""
    last_rows: int = Field(20, gt=1)
    """Newest rows of the log by which the end is estimated."""

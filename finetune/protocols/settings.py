"""Settings of one encoder under published protocols."""

from pydantic import Field

from finetune.data.settings import AuditSettings, UsableSettings
from finetune.run_settings import IntervalSettings, RunSettings
from finetune.training.settings import ProbeSettings
from lamae.config import FolderPath
from lamae.remote.locations import Location


class ProtocolsSettings(
    RunSettings, AuditSettings, ProbeSettings, UsableSettings, IntervalSettings
):
    """One encoder under all protocols that some shards can serve."""

    encoder: FolderPath
    """As in a run of finetune/main.py."""
    data: Location
    """Labelled shards: a folder, or its URL (s3://, gs://, az://, https://, hf://)."""
    run_dir: FolderPath
    """Folder for the tables, and for embeddings."""
    protocols: tuple[str, ...] | None = None
    """Names of finetune/protocols/published.py; by default all."""
    explain: bool = True
    """Change one rule after the other from the first protocol of a label set to each
    other one, and score each step."""
    seed: int = Field(0, ge=0)
    """Decides folds, hold-out and resamples."""

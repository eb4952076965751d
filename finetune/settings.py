"""Settings of the evaluation of an encoder."""

from typing import Literal

from pydantic import Field

from finetune.linear_probe import L2_GRID
from lamae.config import FolderPath, Settings
from lamae.pooling import Pooling


class FinetuneSettings(Settings):
    """One evaluation of one encoder on one task."""

    encoder: FolderPath
    """Run of pretrain/main.py, or a folder with config.json and model.safetensors."""
    data: FolderPath
    """Folder of labelled shards."""
    run_dir: FolderPath | None = None
    """Where results go; by default a new folder in runs/, named by task, mode and time."""
    cache: FolderPath | None = None
    """Folder for embeddings; by default <run_dir>/embeddings."""
    overwrite: bool = False
    """Replace the results that run_dir holds."""
    mode: Literal["probe"] = "probe"
    """probe: a linear classifier on the frozen encoder."""
    label_set: str = "superclass"
    """Which labels of the shards to predict."""
    classes: tuple[str, ...] | None = None
    """Classes to predict; by default all that the training split has."""
    multi_label: bool = True
    """Whether a recording may have several classes, or has exactly one."""
    require_class: bool = False
    """Leave out recordings without any of the classes, as the PTB-XL benchmark does (Strodthoff et
    al. 2021); otherwise they are negative for all. Always so where each has exactly one class."""
    train_split: str = "train"
    """Split that the classifier is fitted on."""
    eval_split: str = "val"
    """Split that results are for."""
    pooling: Pooling = "lead_mean"
    """How the tokens of a recording become one vector; see lamae/pooling.py."""
    batch_size: int = Field(128, gt=0)
    """Recordings that each process embeds at once."""
    max_unusable: float = Field(0.01, ge=0, lt=1)
    """Share of a split that may be damaged or refused by the preprocessor; it is left out."""
    l2_grid: tuple[float, ...] = L2_GRID
    """Penalties of the classifier to choose from, on held-out training patients."""
    resamples: int = Field(1000, gt=0)
    """Bootstrap resamples of patients behind each interval."""
    seed: int = Field(0, ge=0)
    """Decides the random weights to compare with, the hold-out and the resamples."""
    cpu_threads: int | None = Field(None, gt=0)
    """Threads of each process where there is no GPU; by default its share of the cores."""

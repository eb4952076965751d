"""Records of a run: `summary.json`; metrics as JSON lines, in TensorBoard, wandb, MLflow."""

import json
import logging
import os
import platform
import shlex
import sys
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lamae.config import Settings
from lamae.errors import InputError
from lamae.faults import of_file
from lamae.files import open_whole, write_json
from lamae.runs.board import Board

SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
DAMAGED = "metrics.damaged.jsonl"
"""Lines of `metrics.jsonl` that a run found damaged when it went on."""
WANDB_ID = "wandb_id"
"""File with the id of the run at wandb, which keeps it one run when it goes on."""
MLFLOW_ID = "mlflow_id"
"""The same for MLflow."""

_log = logging.getLogger(__name__)
_PACKAGES = ("lamae", "torch", "timm", "accelerate", "numpy", "scipy", "wfdb", "pyarrow")

_SET_BY_LAUNCHERS = {"ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"}
"""By accelerate for any number of processes, and by torchrun; no library sets them."""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def launcher() -> dict[str, int | None]:
    """Return how many processes were started, and the OpenMP threads set for each, if any."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "omp_threads": int(threads) if threads.isdecimal() else None,
    }


def started_by_launcher() -> bool:
    """Say whether accelerate or torchrun is the parent of this process."""
    return not _SET_BY_LAUNCHERS.isdisjoint(os.environ)


def command() -> str:
    """Return the command that starts this program again."""
    start = ["python"]
    if started_by_launcher():
        start = ["accelerate", "launch", "--num_processes", str(launcher()["processes"])]
    return shlex.join([*start, *sys.argv])


def run_summary(settings: Settings, **results: Any) -> dict[str, Any]:
    """Return what `summary.json` holds: command, launcher, config and versions, then `results`."""
    return {
        "command": command(),
        "launcher": launcher(),
        "config": settings.model_dump(mode="json"),
        "versions": versions(),
        **results,
    }


def write_summary(folder: Path, settings: Settings, **results: Any) -> dict[str, Any]:
    """Write the summary of a run as `summary.json`; return it."""
    summary = run_summary(settings, **results)
    write_json(folder / SUMMARY, summary)
    return summary


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the summary that a run has left."""
    found: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    return found


class TrackingSettings(Settings):
    """Destinations of metrics besides `metrics.jsonl` and TensorBoard."""

    wandb_project: str | None = None
    """Project at wandb; null for none. WANDB_MODE=offline and its other variables are honoured."""
    mlflow_experiment: str | None = None
    """Experiment of MLflow; null for none. MLFLOW_TRACKING_URI names its server or folder."""


class MetricsLog:
    """Scalars by step, in `metrics.jsonl`, TensorBoard event files, and wandb and MLflow if asked.

    Rows at or after `first_step`, which an interrupted run may have left, are dropped.
    """

    def __init__(
        self,
        folder: Path,
        *,
        first_step: int,
        tracking: TrackingSettings | None = None,
        config: Settings | None = None,
    ) -> None:
        """Open the log of a run that starts, or goes on, at `first_step`.

        wandb and MLflow, if `tracking` names a project or an experiment, are shown `config`. Raises
        InputError where one is wanted and not installed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        project = tracking.wandb_project if tracking else None
        self._wandb = _start_wandb(folder, project, config) if project else None
        experiment = tracking.mlflow_experiment if tracking else None
        self._mlflow = _start_mlflow(folder, experiment, config) if experiment else None
        self._path = folder / METRICS
        rows, damaged = _rows_and_damage(self._path)
        if damaged:
            _set_aside(self._path.with_name(DAMAGED), damaged)
        kept = [row for row in rows if row["step"] < first_step]
        with open_whole(self._path) as file:
            file.write("".join(json.dumps(row) + "\n" for row in kept).encode())
        self._file = self._path.open("a")
        self._board = Board(folder / "tensorboard", purge_step=first_step)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Log scalars, named like `train/loss`, at a step."""
        row = {"step": step, **scalars}
        with of_file(self._path):
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
            self._board.write(step, dict(scalars))
        if self._wandb is not None:
            self._wandb.log(row)
        if self._mlflow is not None:
            self._mlflow.log_metrics(dict(scalars), step=step)

    def close(self) -> None:
        """Flush and close all logs."""
        with of_file(self._path):
            self._file.close()
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()
        if self._mlflow is not None:
            self._mlflow.end_run()


def _start_mlflow(folder: Path, experiment: str, config: Settings | None) -> Any:
    """Start the run of a folder at MLflow, or go on with it; return the package."""
    try:
        import mlflow
    except ImportError as error:
        raise InputError(
            f"tracking.mlflow_experiment {experiment}",
            value=str(error),
            expected="mlflow to be installed",
            remedy="Run `pip install mlflow`, or set tracking.mlflow_experiment to null.",
        ) from None
    mlflow.set_experiment(experiment)
    path = folder / MLFLOW_ID
    known = path.read_text() if path.is_file() else None
    run = mlflow.start_run(run_id=known, run_name=folder.name)
    if known is None:
        with open_whole(path) as file:
            file.write(run.info.run_id.encode())
    if config is not None:
        mlflow.log_dict(config.model_dump(mode="json"), "config.json")
    return mlflow


def _start_wandb(folder: Path, project: str, config: Settings | None) -> Any:
    """Start the run of a folder at wandb, or go on with it."""
    try:
        import wandb
    except ImportError as error:
        raise InputError(
            f"tracking.wandb_project {project}",
            value=str(error),
            expected="wandb to be installed",
            remedy="Run `pip install wandb`, or set tracking.wandb_project to null.",
        ) from None
    path = folder / WANDB_ID
    if not path.is_file():
        with open_whole(path) as file:
            file.write(uuid.uuid4().hex[:12].encode())
    run = wandb.init(
        project=project,
        name=folder.name,
        id=path.read_text(),
        resume="allow",
        dir=str(folder),
        config=config.model_dump(mode="json") if config else None,
    )
    # wandb's own step may only rise, but a run that goes on computes some steps again.
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    return run


def read_metrics(folder: Path) -> list[dict[str, int | float]]:
    """Return the rows of `metrics.jsonl`, or none where there is no such file.

    A last line that a killed run left unfinished is ignored, and so is any that is damaged.
    """
    return _rows_and_damage(folder / METRICS)[0]


def _rows_and_damage(path: Path) -> tuple[list[dict[str, int | float]], list[bytes]]:
    """Return the rows of a file of metrics, and its lines that are none."""
    if not path.is_file():
        return [], []
    *lines, _ = path.read_bytes().split(b"\n")
    found = [(line, _row(line)) for line in lines]
    rows = [row for _, row in found if row is not None]
    return rows, [line for line, row in found if row is None]


def _row(line: bytes) -> dict[str, int | float] | None:
    """Return the step and the scalars of a line; None where they are not what is written."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    return row if all(type(value) in (int, float) for value in row.values()) else None


def _set_aside(path: Path, damaged: Sequence[bytes]) -> None:
    """Keep damaged lines in a file of their own, behind those that it has."""
    before = path.read_bytes() if path.is_file() else b""
    with open_whole(path) as file:
        file.write(before + b"".join(line + b"\n" for line in damaged))
    _log.warning(
        "%s: %d damaged lines are set aside in %s, and the others kept",
        path.with_name(METRICS),
        len(damaged),
        path.name,
    )

"""Scalars of a run at MLflow, by a stand-in for the package."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lamae.config import Settings
from lamae.errors import InputError
from lamae.runs.tracking import MLFLOW_ID, MetricsLog, TrackingSettings, read_metrics


class Example(Settings):
    """Two settings."""

    folder: Path = Path("somewhere")
    """A path."""
    rates: tuple[float, ...] = (0.1, 1.0)
    """Numbers."""


class _Mlflow(ModuleType):
    """Stands for mlflow: remembers what it was told, and gives runs the ids run-1, run-2."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.calls: list[tuple[Any, ...]] = []
        self.rows: list[dict[str, float]] = []
        self.runs = 0

    def set_experiment(self, name: str) -> None:
        self.calls.append(("set_experiment", name))

    def start_run(self, *, run_id: str | None, run_name: str) -> SimpleNamespace:
        self.runs += run_id is None
        self.calls.append(("start_run", run_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id or f"run-{self.runs}"))

    def log_dict(self, content: dict[str, Any], name: str) -> None:
        self.calls.append(("log_dict", content, name))

    def log_metrics(self, scalars: dict[str, float], *, step: int) -> None:
        self.rows.append({"step": step, **scalars})

    def end_run(self) -> None:
        self.calls.append(("end_run",))


def log_to_mlflow(folder: Path, *, first_step: int, stop: int) -> None:
    tracking = TrackingSettings(mlflow_experiment="ecg")
    log = MetricsLog(folder, first_step=first_step, tracking=tracking, config=Example())
    for step in range(first_step, stop):
        log.write(step, {"train/loss": 0.5 + step})
    log.close()


def test_mlflow_is_told_the_same_rows_and_goes_on_with_the_run_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    log_to_mlflow(tmp_path / "a", first_step=1, stop=4)
    assert fake.rows == read_metrics(tmp_path / "a")
    config = {"folder": "somewhere", "rates": [0.1, 1.0]}
    started = [("set_experiment", "ecg"), ("start_run", None, "a")]
    assert fake.calls == [*started, ("log_dict", config, "config.json"), ("end_run",)]
    log_to_mlflow(tmp_path / "a", first_step=4, stop=5)
    assert fake.calls[5] == ("start_run", "run-1", "a")
    log_to_mlflow(tmp_path / "b", first_step=1, stop=2)
    assert (tmp_path / "b" / MLFLOW_ID).read_text() == "run-2"


def test_a_missing_mlflow_is_said_before_the_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r"tracking.mlflow_experiment ecg.*pip install mlflow"):
        log_to_mlflow(tmp_path, first_step=1, stop=3)
    MetricsLog(tmp_path, first_step=1, tracking=TrackingSettings()).close()

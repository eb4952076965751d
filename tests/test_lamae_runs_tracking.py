"""What a run leaves behind says how it came about, and goes on after an interruption."""

import json
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lamae.config import Settings
from lamae.errors import InputError
from lamae.runs.tracking import (
    DAMAGED,
    METRICS,
    SUMMARY,
    WANDB_ID,
    MetricsLog,
    TrackingSettings,
    read_metrics,
    versions,
    write_summary,
)


class Example(Settings):
    """Two settings."""

    folder: Path = Path("somewhere")
    """A path."""
    rates: tuple[float, ...] = (0.1, 1.0)
    """Numbers."""


def write_rows(folder: Path, *, first_step: int, stop: int, loss: float) -> None:
    log = MetricsLog(folder, first_step=first_step)
    for step in range(first_step, stop):
        log.write(step, {"train/loss": loss + step})
    log.close()


@pytest.mark.usefixtures("plain_environment")
def test_a_summary_tells_command_configuration_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["some program.py", "data=a folder", "seed=3"]
    monkeypatch.setattr(sys, "argv", arguments)
    content = write_summary(tmp_path, Example(), seed=3)
    assert json.loads((tmp_path / SUMMARY).read_text()) == content
    assert shlex.split(content["command"]) == ["python", *arguments]
    assert Example.model_validate(content["config"]) == Example()
    assert content["seed"] == 3
    assert content["versions"]["python"] == platform.python_version()
    assert content["versions"]["timm"] == version("timm")


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what a launcher may have set for the tests themselves."""
    for name in ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("plain_environment")
@pytest.mark.parametrize(
    ("environment", "start", "processes"),
    [
        ({}, ["python"], 1),
        ({"ACCELERATE_USE_CPU": "true"}, ["python"], 1),
        ({"ACCELERATE_MIXED_PRECISION": "no"}, ["accelerate", "launch", "--num_processes", "1"], 1),
        (
            {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4"},
            ["accelerate", "launch", "--num_processes", "4"],
            4,
        ),
    ],
)
def test_the_command_is_the_one_to_type_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    start: list[str],
    processes: int,
) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", "data=a folder"])
    for name, value in (environment | {"OMP_NUM_THREADS": "3"}).items():
        monkeypatch.setenv(name, value)
    content = write_summary(tmp_path, Example())
    assert shlex.split(content["command"]) == [*start, "main.py", "data=a folder"]
    assert content["launcher"] == {"processes": processes, "omp_threads": 3}
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert write_summary(tmp_path, Example())["launcher"]["omp_threads"] is None


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamae.runs.tracking._PACKAGES", ("torch", "lamae-of-another-world"))
    found = versions()
    assert found["lamae-of-another-world"] == "not installed"
    assert found["torch"] == version("torch")


def test_metrics_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_rows(tmp_path, first_step=1, stop=4, loss=0.125)
    assert read_metrics(tmp_path) == [
        {"step": step, "train/loss": 0.125 + step} for step in (1, 2, 3)
    ]
    assert read_metrics(tmp_path / "of_no_run") == []


def test_a_run_that_goes_on_replaces_the_rows_it_computes_again(tmp_path: Path) -> None:
    write_rows(tmp_path, first_step=1, stop=7, loss=0.0)
    write_rows(tmp_path, first_step=5, stop=9, loss=100.0)
    losses = [row["train/loss"] for row in read_metrics(tmp_path)]
    assert losses == [1.0, 2.0, 3.0, 4.0, 105.0, 106.0, 107.0, 108.0]


def test_the_board_holds_the_same_scalars(tmp_path: Path) -> None:
    write_rows(tmp_path, first_step=1, stop=7, loss=0.5)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    shown = [(event.step, event.value) for event in board.Scalars("train/loss")]
    assert shown == [(row["step"], row["train/loss"]) for row in read_metrics(tmp_path)]


def test_a_line_that_a_killed_run_left_unfinished_is_ignored_and_removed(tmp_path: Path) -> None:
    write_rows(tmp_path, first_step=1, stop=3, loss=0.0)
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 3, "train/lo')
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2]
    write_rows(tmp_path, first_step=3, stop=5, loss=0.0)
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"step": 1, "train/lo\x00\xff"}',
        b"\0" * 300,
        b"[1]",
        b"null",
        b'{"a": 1}',
        b'{"step": "1", "a": 1}',
        b'{"step": true}',
        b'{"step": 1, "val/loss": "x"}',
        b'{"step": 1, "a": [1]}',
        b"{" * 100_000,
    ],
)
def test_a_damaged_line_is_set_aside_with_a_warning_and_the_others_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: bytes
) -> None:
    write_rows(tmp_path, first_step=1, stop=4, loss=0.0)
    first, *rest = (tmp_path / METRICS).read_bytes().splitlines(keepends=True)
    (tmp_path / METRICS).write_bytes(first + damaged + b"\n" + b"".join(rest))
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3]
    write_rows(tmp_path, first_step=4, stop=5, loss=0.0)
    (warning,) = caplog.messages
    assert f"1 damaged lines are set aside in {DAMAGED}" in warning
    assert (tmp_path / DAMAGED).read_bytes() == damaged + b"\n"
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3, 4]
    write_rows(tmp_path, first_step=5, stop=6, loss=0.0)
    assert len(caplog.messages) == 1


class _Wandb(ModuleType):
    """Stands for wandb: remembers its runs and what they were told."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.started: list[dict[str, Any]] = []
        self.rows: list[dict[str, float]] = []
        self.calls: list[tuple[str, Any]] = []

    def init(self, **options: Any) -> "_Wandb":
        self.started.append(options)
        return self

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.calls.append((name, step_metric))

    def log(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def finish(self) -> None:
        self.calls.append(("finish", None))


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> _Wandb:
    fake = _Wandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def log_to_wandb(folder: Path, *, first_step: int, stop: int) -> None:
    tracking = TrackingSettings(wandb_project="ecg")
    log = MetricsLog(folder, first_step=first_step, tracking=tracking, config=Example())
    for step in range(first_step, stop):
        log.write(step, {"train/loss": 0.5 + step})
    log.close()


def test_wandb_is_told_the_same_rows_against_the_step_of_the_run(
    tmp_path: Path, wandb: _Wandb
) -> None:
    run_dir = tmp_path / "a run"
    log_to_wandb(run_dir, first_step=1, stop=4)
    assert wandb.rows == read_metrics(run_dir)
    assert wandb.calls == [("step", None), ("*", "step"), ("finish", None)]
    (options,) = wandb.started
    assert options["project"] == "ecg" and options["name"] == "a run"
    assert options["config"] == {"folder": "somewhere", "rates": [0.1, 1.0]}
    assert "mode" not in options  # WANDB_MODE decides


def test_a_run_that_goes_on_is_one_run_at_wandb_and_another_folder_is_another(
    tmp_path: Path, wandb: _Wandb
) -> None:
    log_to_wandb(tmp_path / "a", first_step=1, stop=7)
    log_to_wandb(tmp_path / "a", first_step=5, stop=9)
    log_to_wandb(tmp_path / "b", first_step=1, stop=2)
    ids = [options["id"] for options in wandb.started]
    assert ids[0] == ids[1] != ids[2]
    assert (tmp_path / "a" / WANDB_ID).read_text() == ids[0]
    assert {options["resume"] for options in wandb.started} == {"allow"}


def test_wandb_is_not_imported_unless_a_project_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # its import fails
    for number, tracking in enumerate((None, TrackingSettings())):
        MetricsLog(tmp_path / str(number), first_step=1, tracking=tracking).close()
        assert not (tmp_path / str(number) / WANDB_ID).exists()


def test_a_missing_wandb_is_said_before_the_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path, first_step=1, stop=4, loss=0.0)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"tracking.wandb_project ecg.*pip install wandb"):
        log_to_wandb(tmp_path, first_step=2, stop=3)
    assert len(read_metrics(tmp_path)) == 3

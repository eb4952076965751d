"""A look at a run says how it is: by folders of runs that a test writes, at a time it chooses."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lamae.errors import InputError
from lamae.runs.run_folder import RESUME, RUN, STOP
from lamae.runs.tracking import DAMAGED, METRICS, SUMMARY
from pretrain.main import main
from pretrain.monitoring.facts import look_at
from pretrain.monitoring.status import figures, lines, span

BEGAN_S = 1_800_000_000.0
ROWS = 20
Figures = dict[str, Any]


class Run:
    """A folder of a run that began at BEGAN_S, and logs every ten steps of two seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "attempts").mkdir(parents=True)
        self.attempt(1, BEGAN_S)
        processes = [{"rank": n, "host": f"n{n}", "device": "cuda:0"} for n in range(2)]
        settings = {"steps": 1000, "log_every": 10, "timeout_s": 600.0}
        about = {"attempt": 1, "processes": processes, "settings": settings}
        (folder / RUN).write_text(json.dumps(about))

    def attempt(self, number: int, began_s: float) -> None:
        started = datetime.fromtimestamp(began_s, UTC).isoformat(timespec="seconds")
        content = {"host": "n0", "process": 7, "started": started}
        (self.folder / "attempts" / f"{number:04d}").write_text(json.dumps(content))

    def log(self, *steps: int, more: Figures | None = None) -> None:
        """Log rows of these steps; the last one is the newest line."""
        with (self.folder / METRICS).open("a") as file:
            for step in steps:
                row = {"step": step, "train/loss": 1.0 / step, "time/unix_s": BEGAN_S + 2 * step}
                row |= {"time/step_s": 1.8, "time/ecg_per_s": 128.0, "time/data_wait_share": 0.05}
                row |= {"time/flop_utilisation": 0.4, "memory/peak_gib": 20.0} | (more or {})
                file.write(json.dumps(row) + "\n")
        at = BEGAN_S + 2 * steps[-1]
        os.utime(self.folder / METRICS, (at, at))

    def checkpoint(self, step: int) -> None:
        folder = self.folder / "checkpoints" / f"step-{step:08d}"
        folder.mkdir(parents=True)
        os.utime(folder, (BEGAN_S + 2 * step, BEGAN_S + 2 * step))

    def seen(self, after_s: float) -> Figures:
        return figures(look_at(self.folder, BEGAN_S + after_s), ROWS)

    def told(self, after_s: float) -> str:
        return "\n".join(lines(self.seen(after_s)))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def test_a_run_that_goes_on_shows_its_figures_and_its_end(run: Run) -> None:
    run.log(*range(10, 400, 10))
    run.log(400, more={"val/loss": 0.25})
    run.checkpoint(300)
    found = run.seen(after_s=805)
    assert (found["state"], found["step"], found["steps"]) == ("running", 400, 1000)
    assert found["scalars"]["val/loss"] == {"step": 400, "value": 0.25}
    assert found["checkpoint"] == {"step": 300, "age_s": 205}
    assert (found["silent_s"], found["interval_s"]) == (5, 20)
    assert found["remaining_s"] == 600 * 2 - 5  # by the clock, and not by step_s, of 1.8 s
    assert found["end_unix_s"] == BEGAN_S + 2000
    told = run.told(after_s=805)
    assert "goes on; step 400 of 1000" in told
    assert "128 recordings/s, 1.8 s a step, 5% waiting for data, 40% of the peak, 20 GiB" in told
    assert "checkpoint: step 300, 3 min 25 s old" in told
    assert "2 processes on n0, n1" in told
    assert "in 19 min 55 s" in told


def test_a_run_is_silent_after_three_intervals_and_a_minute(run: Run) -> None:
    run.log(10, 20, 30, 60, 70)  # the longest interval is 60 s
    last_s = 140
    assert run.seen(last_s + 3 * 60 + 60)["state"] == "running"
    found = run.seen(last_s + 3 * 60 + 61)
    assert (found["state"], found["remaining_s"], found["end_unix_s"]) == ("silent", None, None)
    assert "log: last line 4 min 1 s ago; the longest recent interval is 1 min" in run.told(381)


def test_a_new_attempt_starts_and_does_not_count_the_rows_of_the_one_before(run: Run) -> None:
    run.log(10, 20, 30, more={"train/skipped": 3, "data/damaged": 2})
    assert run.seen(61)["problems"] == [
        "3 steps were not finite and were skipped",
        "2 damaged recordings had others stand in",
    ]
    run.attempt(2, BEGAN_S + 5000)
    found = run.seen(5599)
    assert (found["state"], found["attempts"], found["problems"]) == ("starting", 2, [])
    assert run.seen(5601)["state"] == "silent"  # longer than timeout_s


def test_a_run_that_stopped_or_ended_says_so(run: Run) -> None:
    run.log(10, 20)
    (run.folder / RESUME).write_text(json.dumps({"step": 20, "reason": "received SIGTERM"}))
    assert "has stopped and can go on: received SIGTERM; give resume=true" in run.told(9e5)
    (run.folder / RESUME).unlink()
    (run.folder / SUMMARY).write_text("{}")
    os.utime(run.folder / SUMMARY, (BEGAN_S - 1, BEGAN_S - 1))  # of an earlier attempt
    assert run.seen(9e5)["state"] == "silent"
    os.utime(run.folder / SUMMARY, (BEGAN_S + 60, BEGAN_S + 60))
    assert "is finished; step 20 of 1000" in run.told(9e5)


def test_what_is_wrong_is_told(run: Run) -> None:
    run.log(10)
    (run.folder / STOP).touch()
    (run.folder / DAMAGED).touch()
    (run.folder / "checkpoints" / "step-00000010.attempt-2.damaged").mkdir(parents=True)
    told = run.told(21)
    for problem in ("a file STOP asks", f"lines of the log were damaged: {DAMAGED}",
                    "checkpoints were damaged: step-00000010.attempt-2.damaged"):  # fmt: skip
        assert f"notice: {problem}" in told


def test_each_process_and_the_stragglers_have_a_line(run: Run) -> None:
    pace = {"step_s": 2.0, "own_s": 1.5, "data_wait_share": 0.5, "ecg_per_s": 64.0}
    more = {f"rank/1/{name}": value for name, value in pace.items()}
    run.log(10, more=more | {"straggler/n1/rank_1": 3.0})
    told = run.told(21)
    assert "process 1: 2 s a step, 1.5 s of it by itself, 50% waiting for data, 64 reco" in told
    assert "straggler: process 1 on n1 takes 3.0 times the median by itself" in told


def test_of_many_processes_the_slowest_are_shown(run: Run) -> None:
    more = Figures()
    for rank in range(64):
        pace = {"step_s": 2.0, "own_s": 1.0 + (rank > 55), "data_wait_share": 0.5, "ecg_per_s": 4.0}
        more |= {f"rank/{rank}/{name}": value for name, value in pace.items()}
    run.log(10, more=more)
    shown = [line.split(":")[0] for line in run.told(21).splitlines() if line[:7] == "process"]
    assert shown == [f"process {rank}" for rank in range(56, 64)]
    assert len(run.seen(21)["ranks"]) == 4 * 64


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (59.6, "1 min"), (3725.0, "1 h 2 min"), (9e4, "1 d 1 h"), (-3.0, "0 s")],
)
def test_a_time_is_told_in_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_finished_run_is_shown_by_the_program_as_lines_and_as_json(
    pretrained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["status", str(pretrained_run)])
    assert "is finished; step 8 of 8" in capsys.readouterr().out
    main(["status", f"run_dir={pretrained_run}", "format=json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["step"], found["problems"]) == ("finished", 8, [])
    assert found["scalars"]["val/loss"]["step"] == found["checkpoint"]["step"] == 8


def test_a_folder_without_a_run_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match=r"expected a folder that was given as run_dir"):
            look_at(folder)


def test_a_run_of_a_version_that_logged_no_times_is_shown(run: Run) -> None:
    (run.folder / RUN).unlink()
    row = {"step": 10, "train/loss": 0.5, "time/step_s": 3.0}
    (run.folder / METRICS).write_text(json.dumps(row) + "\n")
    os.utime(run.folder / METRICS, (BEGAN_S + 30, BEGAN_S + 30))
    found = run.seen(40)
    assert (found["state"], found["step"], found["steps"]) == ("running", 10, None)
    assert "goes on; step 10\n" in run.told(40)

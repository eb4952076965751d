"""Figures and times that the folder of a run shows, and what is wrong."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lamae.errors import InputError
from lamae.files import read_json
from lamae.runs.run_folder import (
    RESUME,
    RUN,
    STATE,
    STOP,
    attempts_of,
    checkpoints,
    newest_checkpoint,
    step_of,
)
from lamae.runs.tracking import DAMAGED, METRICS, SUMMARY, read_metrics

State = Literal["starting", "running", "silent", "stopped", "finished"]
Row = Mapping[str, int | float]
TRAINED, LOGGED_AT = "train/loss", "time/unix_s"
_SILENT_AFTER = 3
"""A run that goes on writes a line within so many of its longest recent intervals, and a minute."""
_MARGIN_S = 60.0
_START_S = 1800.0
"""Time that a start may take where the settings do not say."""


class Facts(NamedTuple):
    """A run at a time."""

    run_dir: Path
    now_s: float
    """Time of the look at it, in seconds since 1970."""
    about: dict[str, Any]
    """Content of run.json, or what is left of it in a summary or checkpoint of older versions."""
    rows: Sequence[Row]
    """All rows of the log."""
    attempts: Sequence[dict[str, Any]]
    """Host and time of each attempt."""

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the newest attempt, as far as they are known."""
        found: dict[str, Any] = self.about.get("settings", {})
        return found

    @property
    def began_s(self) -> float:
        """Time at which the newest attempt began; 0 where it is not known."""
        text = self.attempts[-1].get("started") if self.attempts else None
        return datetime.fromisoformat(text).timestamp() if text else 0.0

    @property
    def recent(self) -> list[Row]:
        """Rows of steps of the newest attempt; of versions that logged no times, all."""
        rows = [row for row in self.rows if TRAINED in row]
        return [row for row in rows if row.get(LOGGED_AT, self.began_s) >= self.began_s]

    @property
    def step(self) -> int:
        """Newest step that is known to have been done."""
        newest = newest_checkpoint(self.run_dir)
        logged = int(self.rows[-1]["step"]) if self.rows else 0
        return max(logged, step_of(newest) if newest else 0)

    @property
    def silent_s(self) -> float | None:
        """Age of the last line of the log; None where there is none of the newest attempt."""
        log = self.run_dir / METRICS
        return self.now_s - log.stat().st_mtime if self.recent and log.is_file() else None

    def interval_s(self, last_rows: int) -> float | None:
        """Return the longest time between two of the newest rows of steps."""
        rows = self.recent[-last_rows:]
        times = [row[LOGGED_AT] for row in rows if LOGGED_AT in row]
        gaps = [after - before for before, after in pairwise(times)]
        if not gaps and rows and "time/step_s" in rows[-1]:
            gaps = [rows[-1]["time/step_s"] * self.settings.get("log_every", 1)]
        return max(gaps, default=None)

    def step_s(self, last_rows: int) -> float | None:
        """Return seconds of a step of the newest rows, with all that lies between steps."""
        rows = [row for row in self.recent if LOGGED_AT in row][-last_rows:]
        if len(rows) > 1:
            first, last = rows[0], rows[-1]
            return (last[LOGGED_AT] - first[LOGGED_AT]) / (last["step"] - first["step"])
        rows = self.recent[-1:]
        return rows[0].get("time/step_s") if rows else None

    def state(self, last_rows: int) -> State:
        """Return whether the run goes on, as far as its folder can tell."""
        summary, marker = self.run_dir / SUMMARY, self.run_dir / RESUME
        if summary.is_file() and summary.stat().st_mtime >= self.began_s:
            return "finished"
        if marker.is_file():
            return "stopped"
        if self.silent_s is None:
            allowed = self.settings.get("timeout_s", _START_S)
            return "starting" if self.now_s - self.began_s <= allowed else "silent"
        usual = self.interval_s(last_rows) or 0.0
        return "running" if self.silent_s <= _SILENT_AFTER * usual + _MARGIN_S else "silent"

    def newest(self, name: str) -> tuple[int, float] | None:
        """Return step and value of the newest row with a scalar."""
        found = [row for row in self.rows if name in row]
        return (int(found[-1]["step"]), found[-1][name]) if found else None

    def problems(self) -> list[str]:
        """Return a sentence for each thing that is wrong, or that someone has asked for."""
        found = []
        last = self.recent[-1] if self.recent else {}
        if last.get("train/skipped"):
            found.append(f"{last['train/skipped']:.0f} steps were not finite and were skipped")
        if last.get("data/damaged"):
            found.append(f"{last['data/damaged']:.0f} damaged recordings had others stand in")
        if (self.run_dir / STOP).exists():
            found.append(f"a file {STOP} asks the run to stop")
        if (self.run_dir / DAMAGED).exists():
            found.append(f"lines of the log were damaged: {DAMAGED}")
        folder = self.run_dir / "checkpoints"
        damaged = sorted(path.name for path in folder.glob("*.damaged"))
        if damaged:
            found.append(f"checkpoints were damaged: {', '.join(damaged)}")
        return found


def look_at(run_dir: Path, now_s: float | None = None) -> Facts:
    """Read the folder of a run; raises InputError where it is none."""
    rows, attempts = read_metrics(run_dir), attempts_of(run_dir)
    if not (rows or attempts or checkpoints(run_dir) or (run_dir / RUN).is_file()):
        raise InputError(
            f"run folder {run_dir}",
            value="holds no run of pretrain/main.py" if run_dir.is_dir() else "is not there",
            expected="a folder that was given as run_dir",
            remedy="Give the folder that holds metrics.jsonl; a run makes it when it begins.",
        )
    now_s = time.time() if now_s is None else now_s
    return Facts(run_dir, now_s, _about(run_dir), rows, [_json(path) for path in attempts])


def written_at(moment_s: float) -> str:
    """Return a time in the zone of this machine."""
    moment = datetime.fromtimestamp(moment_s, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M %Z")


def _about(run_dir: Path) -> dict[str, Any]:
    """Return what is known of the newest attempt."""
    if (run_dir / RUN).is_file():
        return read_json(run_dir / RUN)
    newest = newest_checkpoint(run_dir)
    if newest and (newest / STATE).is_file():
        return {"settings": _json(newest / STATE).get("settings", {})}
    return {"settings": _json(run_dir / SUMMARY).get("config", {})}


def _json(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where it is being written, or cannot be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

"""Collect the runs of a sweep into table.csv and table.md.

    python -m finetune.comparison.collect FOLDER

FOLDER holds a folder for each run, and may hold runs.txt with one line for each that was wanted:
the first is in FOLDER/0, the next in FOLDER/1.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from finetune.anomaly.run_settings import AnomalySettings
from finetune.settings import FinetuneSettings
from lamae.command_line import exit_with
from lamae.config import with_present_names
from lamae.errors import InputError
from lamae.files import open_whole, write_csv
from lamae.runs.tracking import SUMMARY, read_summary
from lamae.statistics.interval import Interval

RUNS = "runs.txt"
"""The settings of each run that was wanted, one run a line."""
TABLE = "table"
"""Name of the files that are written, without `.csv` and `.md`."""

_PLACES = {"run_dir", "cache", "overwrite"}
_INTERVAL = ("estimate", "low", "high")
_NO_RESULTS = {"command", "launcher", "config", "versions"}


class Run(NamedTuple):
    """One run of a sweep."""

    name: str
    """Its folder in the sweep."""
    state: str
    """finished, unfinished (failed, or still at work), or missing (not begun)."""
    summary: Mapping[str, Any]
    """Its summary.json; empty unless it is finished."""


class Table(NamedTuple):
    """A sweep as a table, a row for each run."""

    settings: list[str]
    """Dotted settings in which the runs differ."""
    results: list[str]
    """Numbers and intervals that at least one run has."""
    rows: list[dict[str, Any]]
    """By setting or result, and `run` and `state`; an interval is a mapping with an estimate."""


def find_runs(folder: Path) -> list[Run]:
    """Return the runs that are wanted, or without runs.txt those that are there.

    Raises InputError where there are none.
    """
    wanted = folder / RUNS
    if wanted.is_file():
        names = [str(number) for number in range(len(wanted.read_text().splitlines()))]
    else:
        there = folder.iterdir() if folder.is_dir() else ()
        names = sorted(path.name for path in there if path.is_dir())
    if not names:
        raise InputError(
            f"sweep {folder}",
            value="holds no run",
            expected=f"a folder for each run, or {RUNS}",
            remedy="Name the folder that slurm/finetune.sbatch was given.",
        )
    return [_read_run(folder, name) for name in names]


def tabulate(runs: Sequence[Run]) -> Table:
    """Arrange runs as a table of what differs between them and of what they found."""
    configs = [flat_settings(run.summary) for run in runs if run.summary]
    keys = dict.fromkeys(key for config in configs for key in config)
    differing = [key for key in keys if len({json.dumps(c.get(key)) for c in configs}) > 1]
    results = {
        key: value
        for run in runs
        for key, value in run.summary.items()
        if key not in _NO_RESULTS | keys.keys() and (_is_number(value) or _is_interval(value))
    }
    rows = [
        {"run": run.name, "state": run.state}
        | {key: _setting(run.summary, key) for key in differing if run.summary}
        | {key: run.summary[key] for key in results if key in run.summary}
        for run in runs
    ]
    return Table(differing, list(results), rows)


def write_table(path: Path, table: Table) -> None:
    """Write all numbers as CSV; intervals become three columns."""
    rows = [_spread(row) for row in table.rows]
    names = list(dict.fromkeys(["run", "state", *table.settings, *(n for r in rows for n in r)]))
    write_csv(path, names, [[row.get(name, "") for name in names] for row in rows])


def as_markdown(table: Table) -> str:
    """Write settings and intervals for readers; other numbers are in the CSV."""
    found = [key for key in table.results if any(_is_interval(row.get(key)) for row in table.rows)]
    names = ["run", "state", *table.settings, *found]
    lines = [names, ["---"] * len(names)]
    lines += [[_written(row.get(name, "")) for name in names] for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def collect(folder: Path) -> list[Run]:
    """Write the table of a sweep as CSV and Markdown, and the latter to standard output.

    Returns the runs without a result. Raises InputError where there is no run at all.
    """
    runs = find_runs(folder)
    table = tabulate(runs)
    write_table(folder / f"{TABLE}.csv", table)
    with open_whole(folder / f"{TABLE}.md") as file:
        file.write(as_markdown(table).encode())
    sys.stdout.write(as_markdown(table))
    return [run for run in runs if not run.summary]


def main(arguments: Sequence[str]) -> None:
    """Collect; exits 2 where there is nothing to collect, 1 if a run has no result."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        exit_with("usage: python -m finetune.comparison.collect FOLDER")
    try:
        lacking = collect(Path(arguments[0]))
    except InputError as error:
        exit_with(f"error: {error}")
    if lacking:
        named = ", ".join(f"{run.name} ({run.state})" for run in lacking)
        again = ",".join(run.name for run in lacking)
        exit_with(f"without a result: {named}; to run them again: --array={again}", status=1)


def flat_settings(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run by dotted name, without those that only name folders."""
    config = summary["config"]
    schema = AnomalySettings if "kind" in config else FinetuneSettings
    return dict(_flat(with_present_names(schema, config)))


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{key}.")
        elif key not in _PLACES:
            flat.append((f"{prefix}{key}", value))
    return flat


def _read_run(folder: Path, name: str) -> Run:
    if (folder / name / SUMMARY).is_file():
        return Run(name, "finished", read_summary(folder / name))
    return Run(name, "unfinished" if (folder / name).is_dir() else "missing", {})


def _setting(summary: Mapping[str, Any], key: str) -> Any:
    return flat_settings(summary).get(key)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_interval(value: object) -> bool:
    return isinstance(value, Mapping) and set(_INTERVAL) <= value.keys()


def _spread(row: Mapping[str, Any]) -> dict[str, Any]:
    spread: dict[str, Any] = {}
    for key, value in row.items():
        if _is_interval(value):
            spread[key] = value["estimate"]
            spread |= {f"{key}_{end}": value[end] for end in ("low", "high")}
        else:
            spread[key] = value
    return spread


def _written(value: Any) -> str:
    if _is_interval(value):
        found = Interval(*(value[name] for name in _INTERVAL))
        return "" if math.isnan(found.estimate) else str(found)
    return str(value).replace("|", "\\|")


if __name__ == "__main__":
    main(sys.argv[1:])

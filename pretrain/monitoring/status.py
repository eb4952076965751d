"""The verb status: how a run is, from its folder alone, in lines or as JSON."""

import json
import statistics
from collections.abc import Iterator
from typing import Any

from lamae.files import read_json
from lamae.runs.run_folder import RESUME, newest_checkpoint, step_of
from pretrain.monitoring.facts import LOGGED_AT, TRAINED, Facts, look_at, written_at
from pretrain.monitoring.paces import RANK, STRAGGLER, named_straggler
from pretrain.monitoring.settings import StatusSettings

_SPEED = (
    "time/ecg_per_s",
    "time/step_s",
    "time/data_wait_share",
    "time/flop_utilisation",
    "memory/peak_gib",
)
_SHOWN_PROCESSES = 8
_WORDS = {
    "starting": "has begun and logged no step yet",
    "running": "goes on",
    "silent": "has been silent for longer than usual: it may have ended, or be stuck",
    "stopped": "has stopped and can go on",
    "finished": "is finished",
}


def status(settings: StatusSettings) -> Iterator[str]:
    """Yield how a run is; raises InputError where there is none in the folder."""
    found = figures(look_at(settings.run_dir), settings.last_rows)
    if settings.format == "json":
        yield json.dumps(found, indent=2)
    else:
        yield from lines(found)


def figures(facts: Facts, last_rows: int) -> dict[str, Any]:
    """Return all that is known of a run as JSON: times in seconds, an unknown one as null."""
    state, steps = facts.state(last_rows), facts.settings.get("steps")
    marker = facts.run_dir / RESUME
    checkpoint, step_s = newest_checkpoint(facts.run_dir), facts.step_s(last_rows)
    remaining_s = None
    if state == "running" and steps and step_s is not None:
        remaining_s = max((steps - facts.step) * step_s - (facts.silent_s or 0.0), 0.0)
    recent = facts.recent[-last_rows:]
    medians = {
        name: statistics.median(values)
        for name in _SPEED
        if (values := [row[name] for row in recent if name in row])
    }
    names = [name for row in facts.rows for name in row if name.startswith("probe/")]
    shown = {name: facts.newest(name) for name in (TRAINED, "val/loss", *dict.fromkeys(names))}
    last = recent[-1] if recent else {}
    return {
        "run_dir": str(facts.run_dir),
        "state": state,
        "reason": read_json(marker).get("reason") if state == "stopped" else None,
        "step": facts.step,
        "steps": steps,
        "silent_s": facts.silent_s,
        "interval_s": facts.interval_s(last_rows),
        "scalars": {
            name: {"step": value[0], "value": value[1]} for name, value in shown.items() if value
        },
        "speed": medians,
        "checkpoint": checkpoint
        and {
            "step": step_of(checkpoint),
            "age_s": facts.now_s - checkpoint.stat().st_mtime,
        },
        "attempts": len(facts.attempts),
        "attempt": facts.attempts[-1] if facts.attempts else None,
        "processes": facts.about.get("processes", []),
        "ranks": {name: value for name, value in last.items() if name.startswith(RANK)},
        "stragglers": {name: value for name, value in last.items() if name.startswith(STRAGGLER)},
        "remaining_s": remaining_s,
        "end_unix_s": None if remaining_s is None else facts.now_s + remaining_s,
        "rows_of_estimate": len([row for row in recent if LOGGED_AT in row]) or len(recent[-1:]),
        "problems": facts.problems(),
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield the figures of a run in words, a subject a line."""
    steps = f" of {found['steps']}" if found["steps"] else ""
    reason = f": {found['reason']}; give resume=true" if found["reason"] else ""
    yield f"{found['run_dir']} {_WORDS[found['state']]}{reason}; step {found['step']}{steps}"
    if found["state"] in ("running", "silent") and found["silent_s"] is not None:
        usual = found["interval_s"]
        every = f"; the longest recent interval is {span(usual)}" if usual is not None else ""
        yield f"log: last line {span(found['silent_s'])} ago{every}"
    if found["scalars"]:
        values = (
            f"{name} {entry['value']:.4f} (step {entry['step']})"
            for name, entry in found["scalars"].items()
        )
        yield f"values: {', '.join(values)}"
    if found["speed"]:
        yield f"speed: {', '.join(_speed(found['speed']))}"
    for text in _by_process(found["ranks"]):
        yield f"process {text}"
    for name, factor in found["stragglers"].items():
        yield f"straggler: {named_straggler(name, factor)}"
    if found["checkpoint"]:
        checkpoint = found["checkpoint"]
        yield f"checkpoint: step {checkpoint['step']}, {span(checkpoint['age_s'])} old"
    if found["attempts"]:
        hosts = {process["host"] for process in found["processes"]}
        on = f", {len(found['processes'])} processes on {', '.join(sorted(hosts))}" * bool(hosts)
        began = (found["attempt"] or {}).get("started", "at an unknown time")
        yield f"attempts: {found['attempts']}, the newest from {began}{on}"
    if found["remaining_s"] is not None:
        end, left = written_at(found["end_unix_s"]), span(found["remaining_s"])
        rows = found["rows_of_estimate"]
        yield f"end: about {end}, in {left}, by the newest {rows} rows of steps"
    for problem in found["problems"]:
        yield f"notice: {problem}"


def span(seconds: float) -> str:
    """Return a time in the two largest units that it has."""
    whole = max(round(seconds), 0)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts = list[str]()
    for name, size in units:
        count, whole = divmod(whole, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def _speed(speed: dict[str, float]) -> Iterator[str]:
    """Yield medians of the newest rows in words."""
    forms = dict(
        zip(
            _SPEED,
            (
                "{:.4g} recordings/s",
                "{:.3g} s a step",
                "{:.0%} waiting for data",
                "{:.0%} of the peak",
                "{:.3g} GiB",
            ),
            strict=True,
        )
    )
    for name, value in speed.items():
        yield forms[name].format(value)


def _by_process(ranks: dict[str, float]) -> Iterator[str]:
    """Yield the pace of each process in words, of many those of the slowest."""
    by_rank: dict[int, dict[str, float]] = {}
    for name, value in ranks.items():
        number, _, figure = name.removeprefix(RANK).partition("/")
        by_rank.setdefault(int(number), {})[figure] = value
    slowest = sorted(by_rank, key=lambda rank: by_rank[rank]["own_s"], reverse=True)
    for rank in sorted(slowest[:_SHOWN_PROCESSES]):
        pace = by_rank[rank]
        yield (
            f"{rank}: {pace['step_s']:.3g} s a step, {pace['own_s']:.3g} s of it by itself, "
            f"{pace['data_wait_share']:.0%} waiting for data, {pace['ecg_per_s']:.4g} recordings/s"
        )

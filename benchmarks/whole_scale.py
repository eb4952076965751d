"""All stages of a corpus as large as MIMIC-IV-ECG, on a machine that cannot hold its recordings.

.venv/bin/python -m benchmarks.whole_scale scratch=<folder> [records=800035] [workers=1] [steps=200]

Simulates the tables of `records` recordings of 12 x 5,000 samples in MIMIC-IV-ECG's layout, lists
them, and makes and builds them shard by shard: the recordings of a shard are put together in
memory, from banks of beats and noise, when it is built, and removed after it. Then merges, verifies
and describes, opens the corpus and draws an epoch's order, and pretrains some steps. Each stage is
a process of its own, whose seconds, bytes and peak memory go to <scratch>/whole_scale.json.

It needs no attention: it tells how long it will take, and the same command goes on where it was
killed. 800,035 recordings take 30 GB of `scratch`.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.simulated_blocks import (
    BLOCKS,
    Scale,
    build_simulated_block,
    bytes_in,
    memory,
    note,
)

ROOT = Path(__file__).resolve().parents[1]
RECORDS = 800_035
STEPS = 200
EXPECTED_MS = {
    "tables": 0.07, "list": 0.05, "blocks": 3.6, "merge": 0.02, "verify": 0.47, "describe": 0.02,
    "open": 0.005, "pretrain": 0.0,
}  # fmt: skip
"""Milliseconds of a core for each recording in each stage, measured at 800,035."""
_STEP_S = 0.6
_RESULTS = "whole_scale.json"


def main() -> None:
    """Run the stages that are not finished, and print a table of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="+", help="scratch=, records=, workers=, steps=")
    parser.add_argument("--stage", choices=list(STAGES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    given: dict[str, str | int] = {"records": RECORDS, "workers": 1, "steps": STEPS}
    given |= dict(each.split("=", 1) for each in arguments.settings)
    if set(given) != {"scratch", "records", "workers", "steps"}:
        parser.error("give scratch=<folder>, and what differs of records=, workers=, steps=")
    folder = Path(str(given.pop("scratch"))).resolve()
    scale = Scale(folder, **{name: int(value) for name, value in given.items()})
    if arguments.stage:
        print(json.dumps(_measured(scale, STAGES[arguments.stage])))
        return
    for line in table_lines(run(scale)):
        print(line)


def run(scale: Scale) -> dict[str, Any]:
    """Run each stage in a process of its own; one that has been finished is not run again."""
    scale.scratch.mkdir(parents=True, exist_ok=True)
    path = scale.scratch / _RESULTS
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else _machine(scale)
    if results["records"] != scale.records:
        raise SystemExit(f"{path} is of {results['records']} recordings: name another scratch=")
    for stage in STAGES:
        if stage in results["stages"]:
            continue
        left = list(STAGES)[list(STAGES).index(stage) :]
        seconds = sum(_expected_s(scale, each) for each in left)
        print(f"{datetime.now():%H:%M} {stage}; about {seconds / 60:.0f} minutes left", flush=True)
        own = [f"{name}={value}" for name, value in scale._asdict().items()]
        command = [sys.executable, "-m", "benchmarks.whole_scale", *own, "--stage", stage]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        found = done.stdout
        results["stages"][stage] = json.loads(found.splitlines()[-1])
        partial_path = path.with_suffix(".partial")
        partial_path.write_text(json.dumps(results, indent=2) + "\n")
        partial_path.replace(path)
    return results


def table_lines(results: dict[str, Any]) -> list[str]:
    """Return the results as a table of Markdown."""
    header = "| stage | seconds | of a core | peak MB | growth, bytes a recording |"
    lines = [header, "|---|---|---|---|---|"]
    for name, found in results["stages"].items():
        growth = found["growth_bytes"] / results["records"]
        seconds, cpu_s, peak_mb = (found[n] for n in ("seconds", "cpu_seconds", "peak_mb"))
        lines.append(f"| {name} | {seconds:,.0f} | {cpu_s:,.0f} | {peak_mb:,.0f} | {growth:,.0f} |")
    return lines


def _machine(scale: Scale) -> dict[str, Any]:
    return {
        "records": scale.records,
        "workers": scale.workers,
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "started": f"{datetime.now():%Y-%m-%d %H:%M}",
        "stages": {},
    }


def _expected_s(scale: Scale, stage: str) -> float:
    if stage == "pretrain":
        return scale.steps * _STEP_S
    cores = scale.workers if stage in ("blocks", "verify") else 1
    return scale.records * EXPECTED_MS[stage] / 1000 / cores


def _measured(scale: Scale, stage: Callable[[Scale], dict[str, Any]]) -> dict[str, Any]:
    """Run a stage in this process; its growth is its peak above what modules take."""
    import shards.build.merge
    import shards.sources.kinds  # noqa: F401

    before, started = memory("VmRSS"), time.monotonic()
    found = stage(scale)
    own, others = memory("VmHWM"), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = found.pop("wall_s", time.monotonic() - started)
    peak = max(own, 1024 * others.ru_maxrss, found.pop("peak", 0))
    cpu_s = time.process_time() + others.ru_utime + others.ru_stime
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(found.pop("cpu_s", cpu_s), 1),
        "peak_mb": round(peak / 1e6, 1),
        "growth_bytes": own - before,
        **found,
    }


def make_tables(scale: Scale) -> dict[str, Any]:
    """Write the tables of the source."""
    from shards.simulator.data_set import plan_chunks, table_rows
    from shards.simulator.mimic_layout import write_tables

    shutil.rmtree(scale.tables, ignore_errors=True)
    scale.tables.mkdir()
    chunks = plan_chunks(scale.simulated)
    counts = write_tables(scale.tables, (table_rows(scale.simulated, chunk) for chunk in chunks))
    return {"patients": counts["patients"], "bytes": bytes_in(scale.tables)}


def list_records(scale: Scale) -> dict[str, Any]:
    """List the source, join the labels, divide the patients, and write the entries of blocks."""
    from shards.build.plan import make_plan, prepare_output

    shutil.rmtree(scale.shards, ignore_errors=True)
    plan = make_plan(scale.build)
    prepare_output(scale.build, plan)
    return {"shards": len(plan.blocks), "bytes": bytes_in(scale.shards)}


def build_blocks(scale: Scale) -> dict[str, Any]:
    """Make the recordings of each shard, build it, and remove them; goes on after a kill."""
    from shards.build.run import build_part

    log = scale.scratch / BLOCKS
    note(log, started=time.time())
    try:
        build_part(scale.build, partial(build_simulated_block, scale=scale))
    finally:
        shutil.rmtree(scale.recordings, ignore_errors=True)
    runs: list[list[dict[str, float]]] = []
    for line in map(json.loads, log.read_text().splitlines()):
        if "started" in line:
            runs.append([])
        runs[-1].append(line)
    blocks = [line for lines in runs for line in lines[1:]]
    return {
        "wall_s": sum(
            lines[-1].get("ended", 0) - lines[0]["started"] for lines in runs if lines[1:]
        ),
        "peak": max(line["peak"] for line in blocks),
        "cpu_s": sum(line["make_s"] + line["build_s"] for line in blocks),
        "make_cpu_s": round(sum(line["make_s"] for line in blocks), 1),
        "build_cpu_s": round(sum(line["build_s"] for line in blocks), 1),
        "runs": len(runs),
        "bytes": bytes_in(scale.shards),
        "raw_bytes_at_once": max(int(line["bytes"]) for line in blocks) * scale.workers,
    }


def merge(scale: Scale) -> dict[str, Any]:
    """Settle duplicates, and write index and manifest."""
    from shards.build.merge import merge_blocks

    return {"kept": merge_blocks(scale.shards)["records"], "bytes": bytes_in(scale.shards)}


def verify(scale: Scale) -> dict[str, Any]:
    """Check every byte."""
    from shards.verify.corpus import verify_shards

    found = verify_shards(scale.shards, workers=scale.workers)
    return {"intact": found.intact, "problems": len(found.problems), "bytes": found.bytes}


def describe(scale: Scale) -> dict[str, Any]:
    """Write the page of the corpus."""
    from shards.describe.page import describe_shards
    from shards.describe.settings import DescribeSettings

    output = scale.scratch / "description"
    found = describe_shards(DescribeSettings(data=scale.shards, output=output))
    return {"patients": found["patients"], "hours": found["hours"]}


def open_and_order(scale: Scale) -> dict[str, Any]:
    """Open the corpus, draw the order of an epoch, and read a batch of its start and its end."""
    from lamae.batches.order import shuffled_positions

    before, started = memory("VmRSS"), time.monotonic()
    corpus = lamae_corpus(scale.shards)
    opened = time.monotonic() - started
    rows = corpus.rows("train")
    order = shuffled_positions(0, len(rows), count=len(rows), seed=0)
    for some in (order[:32], order[-32:]):
        corpus.digital(rows[some])
        corpus.scales(rows[some])
        corpus.lengths(rows[some])
        corpus.lead_sets(rows[some])
        assert len(corpus.keys[rows[some]]) == len(some)
    grown = memory("VmHWM") - before
    return {"open_s": round(opened, 2), "bytes_a_row": round(grown / len(corpus), 1)}


def lamae_corpus(folder: Path) -> Any:
    """Open a corpus."""
    from lamae.storage.corpus import Corpus

    return Corpus(folder)


def pretrain(scale: Scale) -> dict[str, Any]:
    """Pretrain some steps from the corpus."""
    run_dir = scale.scratch / "run"
    shutil.rmtree(run_dir, ignore_errors=True)
    settings = {
        "data": scale.shards, "run_dir": run_dir, "steps": scale.steps, "warmup_steps": 1,
        "checkpoint_every": scale.steps, "validate_every": scale.steps,
    }  # fmt: skip
    given = [f"{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "pretrain/main.py", "configs/pretrain/cpu.yaml"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    subprocess.run(
        [*command, *given], check=True, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    return {"steps": scale.steps}


STAGES: dict[str, Callable[[Scale], dict[str, Any]]] = {
    "tables": make_tables,
    "list": list_records,
    "blocks": build_blocks,
    "merge": merge,
    "verify": verify,
    "describe": describe,
    "open": open_and_order,
    "pretrain": pretrain,
}


if __name__ == "__main__":
    main()

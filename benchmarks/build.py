"""Simulating and building shards: recordings per second and core.

.venv/bin/python benchmarks/build.py [--records 2000] [--json FILE]
Simulates recordings in MIMIC-IV-ECG's layout (12 x 5,000 samples) with one process, then builds
shards from them with one process and with two. Times are of this machine, at this moment.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shards.build import build_shards
from shards.settings import ShardsSettings
from shards.simulate import SimulateSettings, simulate


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = measure(arguments.records)
    for name, value in results.items():
        print(f"{name:40} {value:10.2f}" if isinstance(value, float) else f"{name:40} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def measure(records: int) -> dict[str, Any]:
    """Return rates in recordings per second, with the machine they are of."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "recordings"
        simulated = seconds(lambda: simulate(SimulateSettings(output=source, records=records)))
        built = {
            workers: seconds(
                lambda workers=workers: build_shards(
                    ShardsSettings(
                        source=source,
                        output=Path(scratch) / f"shards-{workers}",
                        source_kind="mimic_iv_ecg",
                        workers=workers,
                    )
                )
            )
            for workers in (1, 2)
        }
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "records": records,
        "simulate_records_per_second_per_core": records / simulated,
        "build_records_per_second_one_process": records / built[1],
        "build_records_per_second_two_processes": records / built[2],
        "build_two_processes_vs_one": built[1] / built[2],
    }


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

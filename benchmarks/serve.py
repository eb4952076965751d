"""Latency of one file: from a command of its own, and from the running page.

.venv/bin/python benchmarks/serve.py --model MODEL --recording FILE.hea [--json FILE]
The command is `finetune/main.py predict`, a process that imports all, opens the model and answers;
its time is that on the wall, the median of three, beside its processor time. The page is started
once; then it answers the same file by HTTP twenty times, the table alone and with all parts: given
are the median, the 95th percentile and the server's processor time of one, and the seconds from the
start of the program to its first answer. On a busy machine only processor times compare. The
probabilities of both must be the same within 1e-5.
"""

import argparse
import csv
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from lamae.files import write_json

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = [sys.executable, "-u", str(ROOT / "finetune" / "main.py")]
COMMANDS, REQUESTS = 3, 20
PARTS = ("paper", "leads", "deviation", "similar", "report")


def main() -> None:
    """Measure, print, and write JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--recording", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {
        "device": f"CPU, {os.environ.get('OMP_NUM_THREADS', 'default')} threads",
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
        "model": Path(given.model).name,
        "recording_bytes": sum(path.stat().st_size for path in files_of(given.recording)),
    }
    by_command = measure_command(given.model, given.recording, found)
    by_page = measure_page(given.model, given.recording, found)
    largest = max(abs(by_command[name] - by_page[name]) for name in by_page)
    found["largest_difference_of_a_probability"] = largest
    for name, value in found.items():
        print(f"{name}: {value}")
    if given.json:
        write_json(given.json, found)
    if largest > 1e-5:
        raise SystemExit("command and page differ")


def files_of(recording: Path) -> list[Path]:
    """Return the files of a recording: of WFDB both."""
    beside = recording.with_suffix(".dat")
    return [recording, beside] if recording.suffix == ".hea" and beside.is_file() else [recording]


def measure_command(model: str, recording: Path, found: dict[str, Any]) -> dict[str, float]:
    """Return the probabilities of the command, and note its seconds."""
    seconds = []
    before = sum(os.times()[2:4])
    with tempfile.TemporaryDirectory() as folder:
        for number in range(COMMANDS):
            output = Path(folder) / f"{number}.csv"
            words = [*PROGRAM, "predict", f"model={model}", f"source={recording}"]
            begin = time.perf_counter()
            subprocess.run([*words, f"output={output}"], check=True, capture_output=True)
            seconds.append(time.perf_counter() - begin)
        with output.open(newline="") as file:
            rows = list(csv.DictReader(file))
    found["command_processor_s"] = round((sum(os.times()[2:4]) - before) / COMMANDS, 2)
    found["command_s"] = round(statistics.median(seconds), 2)
    return {row["class"]: float(row["probability"]) for row in rows}


def measure_page(model: str, recording: Path, found: dict[str, Any]) -> dict[str, float]:
    """Return the probabilities of the page, and note its latencies."""
    begin = time.perf_counter()
    words = [*PROGRAM, "serve", f"model={model}", "port=0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        address = server.stdout.readline().split()[1]
        sent = [("file", (path.name, path.read_bytes())) for path in files_of(recording)]
        with httpx2.Client(timeout=120) as client:
            for name, parts in {"table": (), "all_parts": PARTS}.items():
                seconds, used = [], processor_s(server.pid)
                for _ in range(REQUESTS + 1):
                    start = time.perf_counter()
                    answer = client.post(
                        f"{address}/api/predict", files=sent, params={"parts": list(parts)}
                    )
                    seconds.append(time.perf_counter() - start)
                    found.setdefault(
                        "page_start_to_first_answer_s", round(seconds[0] + start - begin, 2)
                    )
                answer.raise_for_status()
                used = 1000 * (processor_s(server.pid) - used) / (REQUESTS + 1)
                found[f"page_{name}_processor_ms"] = round(used, 1)
                counted = [1000 * each for each in seconds[1:]]  # the first one warms up
                found[f"page_{name}_ms"] = round(statistics.median(counted), 1)
                found[f"page_{name}_ms_p95"] = round(statistics.quantiles(counted, n=20)[-1], 1)
        server.send_signal(signal.SIGINT)
    return {one["name"]: one["probability"] for one in answer.json()["classes"]}


def processor_s(pid: int) -> float:
    """Return the processor time of a process: user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()

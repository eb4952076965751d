"""The share of time that training waits for data, from shards at a URL and from a folder.

.venv/bin/python -m benchmarks.remote [--shards FOLDER] [--mb_per_s 50] [--json FILE]
Shards are served over HTTP at so many megabytes a second in all, by a process of its own; without a
folder, 2,048 recordings of 12 x 5,000 samples are simulated, 64 in a shard. Batches are those of
`pretrain/batches.py`, raw as for a GPU; in place of a step the program sleeps for as long as a
device takes that trains on `--rates` recordings a second. The first pass finds an empty cache.
`start_s` is the wait for the first batch, `waiting` the share of the rest of the time. A rate needs
`needs_mb_per_s`; where that is more than the server sends, waiting cannot be less than
`at_least`. Two threads prepare batches; the window of blocks is a quarter of the shards.
"""

import argparse
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any

from accelerate import Accelerator

from lamae.storage.corpus import Corpus
from pretrain.batches import Reader, training_batches
from pretrain.data import Corpora
from pretrain.settings import PretrainSettings

RATES, BATCH, WORKERS = (250, 500, 1000), 64, 2
PIECE = 2**16


class Paced(SimpleHTTPRequestHandler):
    """Sends files at one speed for all connections together."""

    mb_per_s = 50.0
    lock = threading.Lock()

    def copyfile(self, source: IO[bytes], outputfile: IO[bytes]) -> None:  # type: ignore[override]
        """Send a file in pieces, each in its turn."""
        while piece := source.read(PIECE):
            with self.lock:
                time.sleep(len(piece) / self.mb_per_s / 1e6)
            outputfile.write(piece)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(folder: Path, mb_per_s: float, port: Any) -> None:
    """Serve a folder, and say at which port."""
    Paced.mb_per_s = mb_per_s
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Paced, directory=str(folder)))
    port.put(server.server_address[1])
    server.serve_forever()


@contextmanager
def served(folder: Path, mb_per_s: float) -> Iterator[str]:
    """Serve a folder by a process of its own; yields the URL."""
    context = get_context("spawn")
    port = context.Queue()
    process = context.Process(target=serve, args=(folder, mb_per_s, port), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.get(timeout=600)}"
    finally:
        process.terminate()
        process.join()


def simulated(folder: Path) -> Path:
    """Build shards of simulated recordings."""
    from shards.build.run import build_shards
    from shards.settings import ShardsSettings
    from shards.simulator.data_set import simulate
    from shards.simulator.settings import SimulateSettings

    simulate(SimulateSettings(output=folder / "recordings", records=2048))
    settings = {"source": folder / "recordings", "output": folder / "shards", "shard_records": 64}
    build_shards(ShardsSettings.model_validate(settings | {"source_kind": "mimic_iv_ecg"}))
    return folder / "shards"


def wait(settings: PretrainSettings, accelerator: Accelerator, rate: float) -> dict[str, float]:
    """Take an epoch's batches at a rate; return what was waited for."""
    started = time.perf_counter()
    corpora = Corpora(settings)
    read = Reader(corpora.train, settings, accelerator.device)
    batches = training_batches(settings, accelerator, read, first_step=0)
    moments, waited = [], 0.0
    for _ in range(settings.steps):
        before = time.perf_counter()
        next(batches)
        moments.append(time.perf_counter())
        waited += moments[-1] - before if len(moments) > 1 else 0.0
        time.sleep(BATCH / rate)
    batches.close()  # type: ignore[attr-defined]
    total = time.perf_counter() - moments[0]
    return {
        "start_s": moments[0] - started,
        "waiting": waited / total,
        "longest_wait_s": max(b - a for a, b in pairwise(moments)) - BATCH / rate,
        "recordings_per_s": settings.steps * BATCH / total,
    }


def measure(shards: Path, mb_per_s: float, rates: tuple[int, ...]) -> dict[str, Any]:
    """Return the waits by place, order and rate."""
    corpus, accelerator = Corpus(shards), Accelerator(cpu=True)
    parts = [each for each in corpus.manifest["shards"] if each["split"] == "train"]
    stored, count = sum(each["bytes"] for each in parts), sum(each["samples"] for each in parts)
    found: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
        "shards": len(parts),
        "megabytes_per_shard": stored / len(parts) / 1e6,
        "recordings": count,
        "mb_per_s": mb_per_s,
    }
    values = {
        "batch_size": BATCH,
        "steps": count // BATCH,
        "warmup_steps": 0,
        "data_workers": WORKERS,
        "preprocess_on": "device",
        "block_shards": max(1, len(parts) // 4),
        "run_dir": "unused",
    }
    with served(shards, mb_per_s) as url, tempfile.TemporaryDirectory() as caches:
        for rate in rates:
            needs = rate * stored / count / 1e6
            at_least = max(0.0, 1 - mb_per_s / needs)
            found[f"{rate}_per_s"] = {"needs_mb_per_s": needs, "at_least": at_least}
            for order in ("blocks", "global"):
                places = {
                    "folder": {"data": shards},
                    "url": {"data": url, "cache": Path(caches) / f"{rate}-{order}"},
                    "url_again": {"data": url, "cache": Path(caches) / f"{rate}-{order}"},
                }
                for place, given in places.items():
                    settings = PretrainSettings.model_validate(values | given | {"order": order})
                    found[f"{rate}_per_s"][f"{place}_{order}"] = wait(settings, accelerator, rate)
    return found


def main() -> None:
    """Measure, print, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=Path)
    parser.add_argument("--mb_per_s", type=float, default=50.0)
    parser.add_argument("--rates", type=int, nargs="+", default=RATES)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        shards = given.shards or simulated(Path(scratch))
        found = measure(shards, given.mb_per_s, tuple(given.rates))
    found["source"] = "simulated" if given.shards is None else given.shards.name
    print(json.dumps(found, indent=2))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

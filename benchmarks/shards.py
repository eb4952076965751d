"""Building shards and reading them, against other readers of the same recordings and memory.

.venv/bin/python benchmarks/shards.py [source=<folder>] [--records 12288] [--json FILE]
Without a source it simulates 12 leads of 5,000 samples in MIMIC-IV-ECG's layout. A source is a
folder of WFDB records, or PTB-XL. The whole corpus is read in one random order, into batches of
float32 millivolts; the other readers read in the order of the tars, which is the best for them.

Times are the best of three rounds in which all take turns; readers run in one process with warm
caches. Every `..._vs_...` is how many times as fast ours is, checksums included unless it says
otherwise. `bytes_ratio` is what compressed shards and their index take of the bytes of the int16
samples. A gigabyte is 10**9 bytes of int16 samples, and `per_core` is per second of one processor.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from lamae.storage.samples import Codec

if TYPE_CHECKING:  # at run time once `main` has seen to it that it is the package
    from shards.settings import ShardsSettings, SourceKind

ROUNDS = 3
SHARD_RECORDS = 256
BATCH = 64
FEW_AND_MORE = (2 * SHARD_RECORDS, 10 * SHARD_RECORDS)  # of builds whose memory is compared
MOST_TO_OTHERS = 1024  # recordings that slower readers read in a round
VERSIONS = ("numpy", "blosc2", "isal", "webdataset", "datasets", "wfdb", "pyarrow")

Work = Callable[..., int]


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    if not (__package__ or sys.flags.safe_path):  # else this file hides the package of its name
        os.execv(sys.executable, [sys.executable, "-P", *sys.argv])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", type=lambda text: text.removeprefix("source="))
    parser.add_argument("--records", type=int, default=12288, help="recordings to simulate")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.records < 4 * SHARD_RECORDS:
        parser.error(f"--records: at least {4 * SHARD_RECORDS}, or two processes share too little")
    if arguments.source and not Path(arguments.source).is_dir():
        parser.error(f"source {arguments.source!r} is no folder")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"HF_HOME": f"{scratch}/hf", "HF_HUB_OFFLINE": "1"}
        try:
            results = measure(Path(scratch), arguments.source, arguments.records)
        except InputError as error:
            raise SystemExit(str(error)) from None
    for name, value in results.items():
        print(f"{name:44} {value:12.4g}" if isinstance(value, float) else f"{name:44} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def measure(scratch: Path, given: str | None, records: int) -> dict[str, Any]:
    """Return everything that is measured, and on what."""
    from shards.simulator.data_set import simulate
    from shards.simulator.settings import SimulateSettings

    results: dict[str, Any] = {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in VERSIONS},
        "source": given or "simulated",
    }
    source = Path(given or scratch / "recordings")
    if not given:
        started = time.perf_counter()
        simulate(SimulateSettings(output=source, records=records))
        results["simulate_records_per_second_per_core"] = records / (time.perf_counter() - started)
    results |= measure_builds(source, scratch)
    results |= {} if given else measure_memory(scratch)
    return results | measure_readers(source, scratch)


def measure_memory(scratch: Path) -> dict[str, float]:
    """Return what a build holds at most, and by how much that grows with its recordings."""
    from shards.simulator.data_set import simulate
    from shards.simulator.settings import SimulateSettings

    peaks = []
    for records in FEW_AND_MORE:
        simulate(SimulateSettings(output=scratch / f"memory-{records}", records=records))
        peaks.append(_peak_bytes(_settings(scratch / f"memory-{records}", scratch / "peak")))
    growth = (peaks[1] - peaks[0]) / (FEW_AND_MORE[1] - FEW_AND_MORE[0])
    return {"build_memory_growth_bytes_per_record": growth, "build_peak_megabytes": peaks[1] / 1e6}


def measure_builds(source: Path, scratch: Path) -> dict[str, Any]:
    """Build compressed shards with one process and with two, and plain ones once."""
    one, two = (_settings(source, scratch / f"ecg-{n}", workers=n) for n in (1, 2))
    best = _best_rates({"one": lambda: _build(one), "two": lambda: _build(two)})
    _build(_settings(source, scratch / "npy", codec="npy"))
    compressed = Corpus(one.output)
    samples = sum(2 * compressed.record(row).digital.size for row in range(len(compressed)))
    return {
        "records": len(compressed),
        "build_records_per_second_per_core": best["one"],
        "build_records_per_second_two_processes": best["two"],
        "build_two_processes_vs_one": best["two"] / best["one"],
        "bytes_ratio": _size(compressed) / samples,
    }


def measure_readers(source: Path, scratch: Path) -> dict[str, Any]:
    """Read both corpora with all readers in turn."""
    plain, compressed = Corpus(scratch / "npy"), Corpus(scratch / "ecg-1")
    rows = _rows_of_one_shape(plain)
    order = np.random.default_rng(0).permutation(rows)
    shape = plain.record(int(rows[0])).digital.shape
    tars = _tars(plain, MOST_TO_OTHERS)
    paths = [source / plain.sample(int(row)).source for row in rows[:MOST_TO_OTHERS]]
    room = np.empty((BATCH, *shape), dtype=np.float32)
    integers = np.empty((BATCH, *shape), dtype=np.int16)
    memory = plain.digital(rows[: 32 * BATCH])
    work: dict[str, Work] = {
        "wfdb": lambda: _fill(room, _read_wfdb(paths)),
        "webdataset": lambda: _fill(room, _read_webdataset(tars)),
        "datasets": lambda: _fill(room, _read_datasets(tars)),
        "memory_copy": lambda: _copy(memory, room),
        "compressed_digital": lambda: _read(compressed.digital, order, integers),
    }
    for name, corpus in (("plain", plain), ("compressed", compressed)):
        work[name] = partial(_read, corpus.signals_mv, order, room)
    unread = [Corpus(plain.folder) for _ in range(ROUNDS)]
    for corpus in unread:
        corpus.signals_mv(rows[:1], verify=False)  # loads the columns of the index
    work["plain_first_pass"] = lambda: _read(unread.pop().signals_mv, order, room)
    rates = _best_rates(work)
    decoding = _best_rates({"": work["compressed_digital"]}, clock=time.process_time)[""]
    ours, packed = rates["plain"], rates["compressed"]
    return {
        "shape": list(shape),
        **{f"read_records_per_second_{name}": rate for name, rate in rates.items()},
        "decode_gb_per_second_per_core": decoding * integers[0].nbytes / 1e9,
        "read_vs_wfdb": ours / rates["wfdb"],
        "read_vs_webdataset": ours / rates["webdataset"],
        "read_vs_webdataset_compressed": packed / rates["webdataset"],
        "read_vs_datasets": ours / rates["datasets"],
        "read_vs_datasets_compressed": packed / rates["datasets"],
        "read_vs_memory_copy": ours / rates["memory_copy"],
        "crc32_share_of_first_pass": 1 - rates["plain_first_pass"] / ours,
    }


def _read(read: Callable[..., Any], order: np.ndarray, out: np.ndarray) -> int:
    """Read whole batches."""
    stop = len(order) // len(out) * len(out)
    for start in range(0, stop, len(out)):
        read(order[start : start + len(out)], out)
    return stop


def _copy(memory: np.ndarray, out: np.ndarray) -> int:
    """Copy recordings in random order from memory that is no file."""
    order = np.random.default_rng(0).permutation(len(memory))
    for number, place in enumerate(order):
        np.copyto(out[number % len(out)], memory[place])
    return len(memory)


def _fill(out: np.ndarray, signals: Iterator[np.ndarray]) -> int:
    """Put signals into batches; those of another shape are read, and left out."""
    for number, signal in enumerate(signals, start=1):
        if signal.shape == out.shape[1:]:
            out[number % BATCH] = signal
    return number


def _read_wfdb(paths: list[Path]) -> Iterator[np.ndarray]:
    import wfdb

    for path in paths:
        yield wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T


def _read_webdataset(tars: list[str]) -> Iterator[np.ndarray]:
    import webdataset

    for sample in webdataset.WebDataset(tars, shardshuffle=False).decode():
        yield _millivolts(sample["npy"], sample["json"])


def _read_datasets(tars: list[str]) -> Iterator[np.ndarray]:
    import datasets  # once HF_HOME is set

    files = {"data_files": tars, "split": "train"}
    for sample in datasets.load_dataset("webdataset", streaming=True, **files):
        yield _millivolts(np.asarray(sample["npy"]), sample["json"])


def _millivolts(digital: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    gain = np.array(about["gain"], dtype=np.float32)[:, None]
    baseline = np.array(about["baseline"], dtype=np.float32)[:, None]
    return (digital - baseline) / gain


def _rows_of_one_shape(corpus: Corpus) -> np.ndarray:
    shapes = [corpus.record(row).digital.shape for row in range(len(corpus))]
    ((most, count),) = Counter(shapes).most_common(1)
    if count < BATCH:
        raise SystemExit(f"{count} recordings of {most}: too few for a batch of {BATCH}")
    return np.array([row for row, shape in enumerate(shapes) if shape == most])


def _tars(corpus: Corpus, records: int) -> list[str]:
    """Return the first shards, up to those that hold as many records."""
    shards = corpus.manifest["shards"]
    held = np.cumsum([shard["samples"] for shard in shards])
    enough = shards[: int(np.searchsorted(held, records)) + 1]
    return [str(corpus.folder / shard["file"]) for shard in enough]


def _best_rates(
    work: dict[str, Work], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return recordings per second, the best of rounds in which all take turns."""
    rates = dict.fromkeys(work, 0.0)
    for _ in range(ROUNDS):
        for name, function in work.items():
            started = clock()
            done = function()
            rates[name] = max(rates[name], done / (clock() - started))
    return rates


def _settings(
    source: Path, output: Path, *, codec: Codec = "ecg", workers: int = 1
) -> "ShardsSettings":
    from shards.settings import ShardsSettings

    kind: SourceKind = "folder"
    if (source / "record_list.csv").is_file():
        kind = "mimic_iv_ecg"
    elif any((source / name).is_dir() for name in ("records100", "records500")):
        kind = "ptbxl"
    return ShardsSettings(
        source=source,
        output=output,
        source_kind=kind,
        codec=codec,
        shard_records=SHARD_RECORDS,
        workers=workers,
    )


def _build(settings: "ShardsSettings") -> int:
    """Build into an empty folder; returns the records that were built."""
    from shards.build.run import build_shards

    shutil.rmtree(settings.output, ignore_errors=True)
    with contextlib.redirect_stderr(io.StringIO()):
        return int(build_shards(settings)["records"])


def _peak_bytes(settings: "ShardsSettings") -> int:
    """Build in a process of its own; returns the most memory that it has held."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_build_and_weigh, settings).result()


def _build_and_weigh(settings: "ShardsSettings") -> int:
    _build(settings)  # getrusage would tell the peak of the process that started this one
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _size(corpus: Corpus) -> int:
    parts = [corpus.manifest["index"], *corpus.manifest["shards"]]
    return sum(part["bytes"] for part in parts)


if __name__ == "__main__":
    main()

"""Pretraining on one GPU as a user runs it: speed, waiting, memory, saving, truth, and a model.

.venv/bin/python -m benchmarks.gpu FOLDER [--shards SHARDS] [--minutes 12] [--json FILE] [--smoke]
Every figure is of a run of pretrain/main.py in FOLDER. Sizes are those of configs/pretrain, in
bf16, eager and compiled, with recordings on the device; of one size they also come from the host's
memory and from the shards. Rates are the median of a run's rows but the first; `peak_share` is of
the largest matrix product measured on the device; `planned_gib` is what docs/explanation/scaling.md
reckons. Then the same twenty steps in fp32 on CPU and GPU, and a run that was interrupted beside
one that was not. The minutes that are left go to a run of `small`, with a probe where the shards
have superclasses. Without shards, recordings are simulated. --smoke: a few steps of small models,
on whatever device there is, none compiled. Results are kept as they come; a second call goes on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from benchmarks.scaling import settings_of, table
from lamae.model.autoencoder import LAMAE
from lamae.runs.tracking import read_metrics
from lamae.storage.corpus import Corpus
from pretrain.cost.memory import KEPT_BF16, STATE_BYTES, kept_bytes
from pretrain.cost.peak import matmul_peak

ROOT = Path(__file__).resolve().parents[1]
SIZES, STREAMED = ("tiny", "small", "base"), "small"
MICRO_BATCH = {"tiny": 512, "small": 256, "base": 128}
STEPS, EQUAL_STEPS = 60, 20
SPARE_S, LEAST_RUN_S = 45.0, 60.0  # for the end of the last run; the shortest worth a start
SMALLER = ("model.encoder.width=32", "model.encoder.heads=2", "model.encoder.depth=1")
LABEL_SET = "superclass"
Rows = list[dict[str, float]]


def main() -> None:
    """Measure what has not been measured yet, print tables, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    arguments.folder.mkdir(parents=True, exist_ok=True)
    shards = arguments.shards or simulated_shards(arguments.folder, 64 if arguments.smoke else 2048)
    bench = Bench(arguments.folder, shards, ends=ends, is_smoke=arguments.smoke)
    bench.measure()
    print(bench.tables())
    if arguments.json:
        arguments.json.write_text(json.dumps(bench.found, indent=2) + "\n")


class Bench:
    """Runs in a folder, and what they have shown."""

    def __init__(self, folder: Path, shards: Path, *, ends: float, is_smoke: bool) -> None:
        """Open what an earlier call has found; `ends` is by the monotonic clock."""
        self._folder, self._shards, self._ends = folder, shards, ends
        self._smoke = is_smoke
        self._on_gpu = torch.cuda.is_available()
        self._kept = folder / "found.json"
        self.found: dict[str, Any] = (
            json.loads(self._kept.read_text()) if self._kept.exists() else self._machine()
        )
        """Results by section."""

    def measure(self) -> None:
        """Do the sections in the order of their worth, as long as there is time."""
        for size in SIZES[:1] if self._smoke else SIZES:
            self._speed(size, is_compiled=False, residency="device")
        self._section("cpu_and_gpu", self._equality)
        self._section("resumed", self._resumption)
        if not self._smoke:
            for size in SIZES:
                self._speed(size, is_compiled=True, residency="device")
            for residency in ("ram", "stream"):
                self._speed(STREAMED, is_compiled=True, residency=residency)
        self._section("trained", self._model)

    def _section(self, name: str, measure: Any) -> None:
        """Measure what is not known yet; a failure is kept as its last line, and told."""
        if name in self.found or self._left_s() < LEAST_RUN_S:
            return
        try:
            self.found[name] = measure()
        except subprocess.CalledProcessError as error:
            self.found[name] = {"failed": (error.stderr or "").strip().splitlines()[-1:]}
        print(f"{name}: {self.found[name]}", flush=True)
        self._kept.write_text(json.dumps(self.found, indent=2) + "\n")

    def _speed(self, size: str, *, is_compiled: bool, residency: str) -> None:
        how = f"{size}, {'compiled' if is_compiled else 'eager'}, {residency}"
        batch = 4 if self._smoke else MICRO_BATCH[size]
        steps = 6 if self._smoke else STEPS
        settings = [f"batch_size={batch}", f"steps={steps}", f"log_every={max(steps // 6, 1)}"]
        settings += [f"compile={str(is_compiled).lower()}", f"residency={residency}"]
        settings += ["warmup_steps=1", "checkpoint_every=1000000", f"validate_every={steps}"]
        settings += ["validation_samples=64"]
        settings += ["precision=bf16", "preprocess_on=device"] if self._on_gpu else []
        self._section(how, lambda: self._rates(size, batch, self._run(how, size, settings)))

    def _rates(self, size: str, batch: int, rows: Rows) -> dict[str, float]:
        """Return rates of a run, and what the plan reckons for its memory."""
        steady = [row for row in rows if "time/step_s" in row][1:]
        last_of = {key: value for row in rows for key, value in row.items()}
        names = {"time/ecg_per_s": "ecg_per_s", "time/flop_utilisation": "peak_share"}
        names |= {"time/data_wait_share": "data_wait_share", "memory/peak_gib": "peak_gib"}
        rates = {new: statistics.median(row[old] for row in steady) for old, new in names.items()}
        step_s = statistics.median(row["time/step_s"] for row in steady)
        settings = settings_of(size)
        with torch.device("meta"):
            parameters = sum(each.numel() for each in LAMAE(settings.model).parameters())
        kept = kept_bytes(settings.model, KEPT_BF16, leads=12, patches=settings.patches)
        return rates | {
            "planned_gib": (batch * kept + STATE_BYTES * parameters) / 2**30,
            "checkpoint_steps": last_of["time/checkpoint_s"] / step_s,
        }

    def _equality(self) -> dict[str, Any]:
        """Return losses of the same steps on CPU and GPU, and their largest relative difference."""
        settings = [f"steps={EQUAL_STEPS}", "batch_size=16", "log_every=1", "warmup_steps=5"]
        losses = [
            losses_of(self._run(f"equal on {device}", "tiny", settings, on_cpu=device == "cpu"))
            for device in ("cpu", "device")
        ]
        return {"losses": losses, "largest_relative_difference": largest_difference(*losses)}

    def _resumption(self) -> dict[str, Any]:
        """Return how far a run that was interrupted is from one that was not."""
        settings = ["steps=12", "batch_size=16", "log_every=1", "warmup_steps=2"]
        whole = losses_of(self._run("whole", "tiny", settings))
        before = losses_of(self._run("interrupted", "tiny", [*settings, "max_hours=0.000001"]))
        resumed = losses_of(self._run("interrupted", "tiny", [*settings, "resume=true"]))
        return {
            "interrupted_after": len(before),
            "steps": len(resumed),
            "largest_relative_difference": largest_difference(whole, resumed),
        }

    def _model(self) -> dict[str, Any]:
        """Return loss and probe of a run of `small` as long as the time that is left."""
        steps, batch = 6, 4
        if not self._smoke:
            batch = settings_of(STREAMED).batch_size
            steps = int(self._trained_per_s() * (self._left_s() - SPARE_S) / batch)
        settings = [f"steps={steps}", f"batch_size={batch}", "residency=device"]
        settings += [f"warmup_steps={steps // 10}", f"validate_every={max(steps // 5, 1)}"]
        if LABEL_SET in Corpus(self._shards).label_sets():
            settings += [f"probe.every={max(steps // 5, 1)}"]
        if self._on_gpu:
            settings += ["precision=bf16", "preprocess_on=device", "compile=true"]
        rows = self._run("trained", STREAMED, settings)
        wanted = ("step", "val/", "probe/", "time/ecg_per_s", "time/flop_utilisation")
        newest = {key: value for row in rows for key, value in row.items()}
        return {key: value for key, value in newest.items() if key.startswith(wanted)}

    def _trained_per_s(self) -> float:
        """Return recordings a second of the fastest run of the size to train, with a margin."""
        rates = [v["ecg_per_s"] for k, v in self.found.items() if k.startswith(f"{STREAMED}, ")]
        return 0.8 * max(rates)

    def _run(self, name: str, size: str, settings: Iterable[str], *, on_cpu: bool = False) -> Rows:
        """Pretrain in a folder of that name; return its rows of metrics."""
        folder = self._folder / "runs" / name.replace(", ", "-").replace(" ", "-")
        command = [sys.executable, "pretrain/main.py", f"configs/pretrain/{size}.yaml"]
        command += [f"data={self._shards.resolve()}", f"run_dir={folder.resolve()}"]
        command += SMALLER if self._smoke else ()
        environment = os.environ | ({"ACCELERATE_USE_CPU": "true"} if on_cpu else {})
        subprocess.run(
            [*command, *settings], cwd=ROOT, env=environment, check=True, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        return read_metrics(folder)

    def _left_s(self) -> float:
        return self._ends - time.monotonic()

    def _machine(self) -> dict[str, Any]:
        device = torch.device("cuda" if self._on_gpu else "cpu")
        dtype = torch.bfloat16 if self._on_gpu else torch.float32
        return {
            "device": torch.cuda.get_device_name() if self._on_gpu else "CPU",
            "torch": torch.__version__,
            "smoke": self._smoke,
            "peak_tflops": matmul_peak(device, dtype) / 1e12,
        }

    def tables(self) -> str:
        """Return Markdown of the rates, and a line for each other section."""
        rates = {k: v for k, v in self.found.items() if isinstance(v, dict) and "ecg_per_s" in v}
        others = {k: v for k, v in self.found.items() if k not in rates}
        lines = [f"- {key}: {value}" for key, value in others.items()]
        if rates:
            header = ["size, how, recordings", *next(iter(rates.values()))]
            rows = ([name, *row.values()] for name, row in rates.items())
            lines = [table(header, rows), "", *lines]
        return "\n".join(lines)


def losses_of(rows: Rows) -> list[float]:
    """Return the losses of training in a run's rows."""
    return [row["train/loss"] for row in rows if "train/loss" in row]


def largest_difference(first: list[float], second: list[float]) -> float:
    """Return the largest difference of two equally long lists, relative to the first."""
    return max(abs(a - b) / abs(a) for a, b in zip(first, second, strict=True))


def simulated_shards(folder: Path, records: int) -> Path:
    """Return shards of simulated recordings, built unless an earlier call has."""
    from shards.build.run import build_shards
    from shards.settings import ShardsSettings
    from shards.simulator.data_set import simulate
    from shards.simulator.settings import SimulateSettings

    recordings, shards = folder / "recordings", folder / "shards"
    if not shards.exists():
        simulate(SimulateSettings(output=recordings, records=records))
        values = {"source": recordings, "output": shards, "source_kind": "mimic_iv_ecg"}
        split = {"train": 0.8, "val": 0.2, "test": 0.0}
        build_shards(ShardsSettings.model_validate(values | {"split": split}))
    return shards


if __name__ == "__main__":
    main()

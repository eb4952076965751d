"""A training step: LAMAE against its comparators, what masking saves, waiting for data, the chip.

.venv/bin/python benchmarks/step.py [--sizes tiny small] [--batch 4] [--rounds 5] [--json FILE]
Sizes are those of configs/pretrain. A step is forward, backward and AdamW on random signals, on a
GPU in bf16 and compiled, on a CPU in fp32 and one thread; the best of rounds in which all take
turns. `lamae_vs_independent_time` is how many times as long LAMAE's step takes at equal parameters;
`visible_only_speedup` how many times as fast the encoder is that sees the visible quarter instead
of all patches, forward and backward; `peak_share` is of the largest matrix product measured here;
`data_wait_share` is of steps in which simulated 500-Hz recordings come from compressed shards.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from lamae.config import load_settings
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask, draw_mask
from lamae.runs.tracking import read_metrics
from lamae.training.optim import adamw
from pretrain.cost.flops import step_flops
from pretrain.cost.peak import matmul_peak
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "pretrain"
METHODS = ("independent", "lamae", "alignment", "joint")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    if not (__package__ or sys.flags.safe_path):  # else benchmarks/shards.py hides the package
        os.execv(sys.executable, [sys.executable, "-P", *sys.argv])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = [path.stem for path in sorted(CONFIGS.glob("*.yaml"))]
    parser.add_argument("--sizes", nargs="+", choices=sizes, default=["tiny", "small"])
    parser.add_argument("--batch", type=int, default=256 if ON_GPU else 4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    peak = matmul_peak(DEVICE, torch.bfloat16 if ON_GPU else torch.float32)
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if ON_GPU else "CPU, one thread",
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
        "torch": torch.__version__,
        "batch": arguments.batch,
        "peak_tflops": peak / 1e12,
    }
    for size in arguments.sizes:
        settings = settings_of(size)
        found = measure_steps(settings, arguments.batch, arguments.rounds, peak)
        found["data_wait_share"] = measure_waiting(settings, arguments.batch)
        results |= {f"{name}_{size}": value for name, value in found.items()}
    for name, value in results.items():
        print(f"{name:44} {value:10.4g}" if isinstance(value, float) else f"{name:44} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def settings_of(size: str) -> PretrainSettings:
    """Return the settings of a configuration, with places that are not used."""
    places = ["data=unused", "run_dir=unused"]
    return load_settings(PretrainSettings, [str(CONFIGS / f"{size}.yaml"), *places])


def measure_steps(
    settings: PretrainSettings, batch: int, rounds: int, peak: float
) -> dict[str, float]:
    """Return times of whole steps by method, and of the encoder by what it sees."""
    leads = settings.preprocess.leads
    signal = torch.randn(batch, len(leads), settings.preprocess.samples, device=DEVICE)
    mask = draw_mask(
        "random",
        batch=batch,
        leads=len(leads),
        patches=settings.patches,
        mask_ratio=settings.model.mask_ratio,
        generator=torch.Generator().manual_seed(0),
    ).to(DEVICE)
    work: dict[str, Callable[[], None]] = {}
    for method in METHODS:
        encoder = settings.model.encoder.model_copy(update={"method": method})
        model = LAMAE(settings.model.model_copy(update={"encoder": encoder})).to(DEVICE)
        if ON_GPU:
            model.compile(dynamic=False)
        optimizer = adamw(model, lr=1e-4, weight_decay=0.05, betas=(0.9, 0.95))
        work[method] = partial(train_once, model, optimizer, signal, leads, mask)
    encoder = LAMAE(settings.model).to(DEVICE).encoder
    work["visible"] = partial(encode_once, encoder, signal, leads, mask)
    work["all"] = partial(encode_once, encoder, signal, leads, None)
    seconds = best_seconds(work, rounds)
    flops = step_flops(settings.model, batch=batch, leads=len(leads), patches=settings.patches)
    return {
        "ecg_per_second": batch / seconds["lamae"],
        "peak_share": flops / seconds["lamae"] / peak,
        **{f"{m}_vs_independent_time": seconds[m] / seconds["independent"] for m in METHODS[1:]},
        "visible_only_speedup": seconds["all"] / seconds["visible"],
    }


def train_once(
    model: LAMAE,
    optimizer: torch.optim.Optimizer,
    signal: torch.Tensor,
    leads: tuple[str, ...],
    mask: Mask,
) -> None:
    """Do one step."""
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=ON_GPU):
        loss = model(signal, leads, mask=mask).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def encode_once(
    encoder: torch.nn.Module,
    signal: torch.Tensor,
    leads: tuple[str, ...],
    mask: Mask | None,
) -> None:
    """Encode forward and backward."""
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=ON_GPU):
        latents = encoder(signal, leads, mask=mask)
    latents.tokens.float().square().mean().backward()
    encoder.zero_grad()


def best_seconds(work: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the shortest time of each, after a first one that is not counted."""
    best = dict.fromkeys(work, float("inf"))
    for number in range(rounds + 1):
        for name, function in work.items():
            wait_for_device()
            started = time.perf_counter()
            function()
            wait_for_device()
            if number:
                best[name] = min(best[name], time.perf_counter() - started)
    return best


def wait_for_device() -> None:
    """Wait until a GPU has done what it was given."""
    if ON_GPU:
        torch.cuda.synchronize()


def measure_waiting(settings: PretrainSettings, batch: int) -> float:
    """Return the share of a run's last steps in which it waits for a batch."""
    from shards.build.run import build_shards
    from shards.settings import ShardsSettings
    from shards.simulator.data_set import simulate
    from shards.simulator.settings import SimulateSettings

    with tempfile.TemporaryDirectory() as scratch:
        recordings, shards = Path(scratch) / "recordings", Path(scratch) / "shards"
        simulate(SimulateSettings(output=recordings, records=16 * batch))
        split = {"train": 0.8, "val": 0.2, "test": 0.0}
        values = {"source": recordings, "output": shards, "source_kind": "mimic_iv_ecg"}
        build_shards(ShardsSettings.model_validate(values | {"split": split, "workers": 1}))
        steps = 60 if ON_GPU else 8
        changes = {
            "data": shards,
            "run_dir": Path(scratch) / "run",
            "steps": steps,
            "warmup_steps": 1,
            "batch_size": batch,
            "accumulation": 1,
            "log_every": steps // 2,
            "validation_samples": 1,
            "cpu_threads": 1,
        }
        run = settings.model_validate(settings.model_dump() | changes)
        pretrain(run, Accelerator(mixed_precision="bf16" if ON_GPU else "no"))
        rows = [row for row in read_metrics(run.run_dir) if "time/data_wait_share" in row]
    return float(rows[-1]["time/data_wait_share"])


if __name__ == "__main__":
    main()

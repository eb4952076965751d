"""A checkpoint: how long the steps stand still for it, and how long writing it takes.

python -m benchmarks.checkpoint [--sizes tiny small] [--batch 4] [--rounds 5] [--json FILE]
Sizes are those of configs/pretrain. `step_s` is a training step on random signals, `copy_s` what a
run stands still for where no other checkpoint is being written: the test that all is finite, and
the copy to the host. `write_s` is the write to the disk, with hashes and fsync, for which a run
waited as well until it was left to a thread; `step_beside_s` a step while a thread writes. The
best of rounds in which all take turns.
"""

import argparse
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.step import DEVICE, ON_GPU, settings_of, train_once, wait_for_device
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import draw_mask
from lamae.runs.run_folder import Attempt
from lamae.training.checkpoint_writing import Alone, Draft, draft, write_checkpoint
from lamae.training.host_copy import HostCopy
from lamae.training.optim import AdamW, adamw
from lamae.training.pieces import pieces_of_state
from pretrain.finite import are_finite
from pretrain.settings import PretrainSettings

T = TypeVar("T")


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small"])
    parser.add_argument("--batch", type=int, default=256 if ON_GPU else 4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if ON_GPU else "CPU, one thread",
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
        "torch": torch.__version__,
        "batch": arguments.batch,
    }
    for size in arguments.sizes:
        found = measure(settings_of(size), arguments.batch, arguments.rounds)
        results |= {f"{name}_{size}": value for name, value in found.items()}
    for name, value in results.items():
        print(f"{name:44} {value:10.4g}" if isinstance(value, float) else f"{name:44} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def measure(settings: PretrainSettings, batch: int, rounds: int) -> dict[str, float]:
    """Return seconds of a step, of the copy and of the write, and the bytes of a checkpoint."""
    model = LAMAE(settings.model).to(DEVICE)
    optimizer = adamw(model, lr=1e-4, weight_decay=0.05, betas=(0.9, 0.95))
    step = partial(train_once, model, optimizer, *_batch(settings, batch))
    step()  # which makes the moments
    copy = partial(_copy, settings, model, optimizer, HostCopy())
    best = dict[str, float]()
    for number in range(rounds + 1):
        seconds = _round(step, copy)
        if number:
            best = {name: min(best.get(name, value), value) for name, value in seconds.items()}
    return best | {
        "megabytes": sum(p.tensor.nbytes for file in copy().tensors.values() for p in file.values())
        / 1e6,
        "copy_in_steps": best["copy_s"] / best["step_s"],
        "copy_and_write_in_steps": (best["copy_s"] + best["write_s"]) / best["step_s"],
    }


def _round(step: Callable[[], None], copy: Callable[[], Draft]) -> dict[str, float]:
    step_s, _ = _seconds(step)
    copy_s, content = _seconds(copy)
    with tempfile.TemporaryDirectory() as scratch:
        run_dir = Path(scratch)
        write_s, _ = _seconds(partial(_write, run_dir, content))
        shutil.rmtree(run_dir / "checkpoints")
        writer = threading.Thread(target=_write, args=(run_dir, content))
        writer.start()
        step_beside_s, _ = _seconds(step)
        writer.join()
    return {
        "step_s": step_s,
        "copy_s": copy_s,
        "write_s": write_s,
        "step_beside_s": step_beside_s,
    }


def _batch(settings: PretrainSettings, batch: int) -> tuple[Any, ...]:
    leads, patches = settings.preprocess.leads, settings.patches
    mask = draw_mask(
        "random",
        batch=batch,
        leads=len(leads),
        patches=patches,
        mask_ratio=settings.model.mask_ratio,
        generator=torch.Generator().manual_seed(0),
    )
    signal = torch.randn(batch, len(leads), settings.preprocess.samples, device=DEVICE)
    return signal, leads, mask.to(DEVICE)


def _copy(settings: PretrainSettings, model: LAMAE, optimizer: AdamW, copies: HostCopy) -> Draft:
    held = pieces_of_state(model, optimizer).values()
    assert are_finite([piece.tensor for pieces in held for piece in pieces.values()])
    preprocessor = settings.preprocess
    about: dict[str, Any] = {"preprocessor": preprocessor, "state": {}, "copies": copies}
    return draft(step=1, model=model, optimizer=optimizer, **about)


def _write(run_dir: Path, content: Draft) -> None:
    write_checkpoint(run_dir, content, attempt=Attempt(run_dir), exchange=Alone())


def _seconds(work: Callable[[], T]) -> tuple[float, T]:
    wait_for_device()
    started = time.perf_counter()
    found = work()
    wait_for_device()
    return time.perf_counter() - started, found


if __name__ == "__main__":
    main()

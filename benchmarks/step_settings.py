"""What a setting costs in a step: two processes over gloo, on a CPU, all in turn in one run.

.venv/bin/python benchmarks/step_settings.py [--batch 4] [--rounds 10] [--json FILE]
Each process has half of a batch of noise and the model of configs/pretrain/cpu.yaml, in fp32 and
one thread. `plain` is forward, backward and AdamW under DDP, gradients as views of its buckets.
The others are the same and one thing more, or another in its place. `ms` is the shortest of the
rounds, `cpu ms` the shortest time of the processor that the first process took: it does not grow
with what else the machine does, and leaves out waiting.
"""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from benchmarks.scaling import masks, settings_of, table
from lamae.model.autoencoder import LAMAE
from lamae.training.optim import adamw
from lamae.training.weight_average import WeightAverage
from pretrain.processes.launch import deterministic_algorithms
from pretrain.processes.stopping import Agreement
from pretrain.settings import PretrainSettings

Work = Callable[[], object]


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    if not (__package__ or sys.flags.safe_path):  # else benchmarks/shards.py hides the package
        os.execv(sys.executable, [sys.executable, "-P", *sys.argv])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    measure = partial(measured, port=port, batch=given.batch, rounds=given.rounds)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        found = next(pool.map(measure, range(2)))
    about = {"batch": given.batch, "rounds": given.rounds, "load": os.getloadavg()[0]}
    print(table(["a step", "ms", "cpu ms"], ([name, *row] for name, row in found.items())))
    if given.json:
        results = about | {"torch": torch.__version__, "step": found}
        given.json.write_text(json.dumps(results, indent=2) + "\n")


def measured(rank: int, *, port: int, batch: int, rounds: int) -> dict[str, list[float]]:
    """Return the times of each kind of step, as one of two processes that do them together."""
    torch.set_num_threads(1)
    place = f"tcp://localhost:{port}"
    distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=2)
    agreement = Agreement(timeout=timedelta(minutes=5))
    plain, (model, average) = step_of(batch), averaged()
    work: dict[str, Work] = {
        "plain": plain,
        "processes compare whether to stop": lambda: (plain(), agreement.highest(0)),
        "gradients copied into buckets": step_of(batch, views=False),
        "deterministic=true": partial(deterministic, plain),
        "activation_checkpointing=true": step_of(batch, checkpointed=True),
        "ema=0.999": lambda: (plain(), average.update(model, steps=1000)),
    }
    found = best_times(work, rounds)
    distributed.destroy_process_group()
    return found


def step_of(batch: int, *, views: bool = True, checkpointed: bool = False) -> Work:
    """Return a function that does a step of this process's half of a batch."""
    settings = small()
    model = LAMAE(settings.model)
    if checkpointed:
        model.checkpoint_activations()
    wrapped = DistributedDataParallel(model, gradient_as_bucket_view=views)
    optimizer = adamw(model, lr=1e-4, weight_decay=0.05, betas=(0.9, 0.95))
    leads = settings.preprocess.leads
    signal = torch.randn(batch // 2, len(leads), settings.preprocess.samples)
    mask = masks(batch // 2, len(leads), settings.patches, batch // 2)

    def step() -> None:
        wrapped(signal, leads, mask=mask).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def averaged() -> tuple[LAMAE, WeightAverage]:
    """Return a model and its average."""
    model = LAMAE(small().model)
    return model, WeightAverage(model, 0.999)


def small() -> PretrainSettings:
    """Return the settings of the model for a CPU."""
    return settings_of("cpu")


def deterministic(step: Work) -> None:
    """Do a step with deterministic algorithms alone."""
    with deterministic_algorithms(True):
        step()


def best_times(work: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Return the shortest times of the clock and of the processor, in milliseconds."""
    best = {name: [float("inf")] * 2 for name in work}
    for number in range(rounds + 1):
        for name, function in work.items():
            distributed.barrier()
            started = time.perf_counter(), time.process_time()
            function()
            taken = time.perf_counter() - started[0], time.process_time() - started[1]
            if number:
                best[name] = [min(b, 1e3 * t) for b, t in zip(best[name], taken, strict=True)]
    return best


if __name__ == "__main__":
    main()

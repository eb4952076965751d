"""How the cost of a step grows, measured; and what 1, 8 and 64 GPUs need, computed.

.venv/bin/python benchmarks/scaling.py [--rounds 3] [--json FILE]
.venv/bin/python benchmarks/scaling.py --plan

Measured at size tiny, fp32, one thread, in milliseconds, the best of rounds in which all take
turns: reading 128 simulated recordings, bytes of the index; the order of an epoch; masks of a batch
or an eighth; steps of 2 ECGs by leads and patches, of 4 by processes over gloo. `kept`, computed,
is what blocks keep for backward. An exponent is the slope of the logarithms.
"""

import argparse
import json
import os
import socket
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator

from lamae.batches.dataset import Split
from lamae.batches.order import _epoch_order
from lamae.batches.raw_batches import Stream
from lamae.config import load_settings
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask, draw_mask
from lamae.model.settings import AutoencoderSettings
from lamae.storage.corpus import Corpus
from lamae.training.optim import adamw
from pretrain.cost.flops import step_flops
from pretrain.cost.memory import (
    KEPT_BF16,
    KEPT_FP32,
    STATE_BYTES,
    checkpointed_bytes,
    kept_bytes,
)
from pretrain.settings import PretrainSettings

METHODS = ("independent", "lamae", "joint")
SIZES = ("tiny", "small", "base", "large", "huge")
CORPORA, EPOCHS, BATCHES = (128, 512, 2048), (10_000, 100_000, 800_035, 10_000_000), (256, 1024)
LEAD_COUNTS, PATCH_COUNTS = (1, 2, 4, 8, 12), (25, 50, 100, 200, 300)  # 5 to 60 s at 250 Hz
Key = tuple[str, str, int]  # what grows, what it costs, how large

# Measured on one core (docs/explanation/scaling.md); the last two by benchmarks/shards.py.
ORDER_S, DRAW_S, SORT_S = {800_035: 0.015, 10_000_000: 0.42}, 1.7e-6, 18e-6
INDEX_BYTES, READ_PER_S, BUILD_PER_S = 295, 9_998, 450
# bf16 peak (H200 reported, A100 nominal), bytes, nominal bytes/s to the other GPUs of a node.
GPUS = {"H200": (788e12, 139 * 2**30, 450e9), "A100": (312e12, 80 * 2**30, 300e9)}
COMPRESSED, LINK_SHARE, SPARE = (0.25, 0.40), 0.7, 8e9  # assumed; the last: bytes of a GPU
COUNTS, MFUS, NODE = (1, 8, 64), (0.3, 0.5), 8
RECORDING_BYTES = 240  # for a sample per second
PLAN_HEADERS = (
    "recordings, Hz, int16 GB, x 0.25, x 0.40, core-h, index GB, order s, H200, A100",
    "size, M parameters, GFLOP/ECG, state GB, kept MB/ECG, ECGs H200, ECGs A100, "
    "checkpointed MB/ECG, ECGs H200, ECGs A100",
    "size, GPU, MFU, ECG/s, 1 GPU, 8, 64, 10 M: 1, 8, 64",
    "size, GPUs, ECGs each, compute, NVLink, 400 Gb/s, 200, masks, read, threads, GB/s",
)


def main() -> None:
    """Measure, print tables, and write JSON where asked to; or print the plan."""
    if not (__package__ or sys.flags.safe_path):  # else benchmarks/shards.py hides the package
        os.execv(sys.executable, [sys.executable, "-P", *sys.argv])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.plan:
        print(plan())
        return
    torch.set_num_threads(1)
    results: dict[str, object] = {"load_at_start": os.getloadavg()[0], "torch": torch.__version__}
    found = measure_records(arguments.rounds) | measure_shapes(arguments.rounds)
    groups = grouped(found | measure_processes(arguments.rounds))
    for name, rows in groups.items():
        header = [name, *next(iter(rows.values()))]
        print(f"{table(header, ([cost, *row.values()] for cost, row in rows.items()))}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(results | {"growth": groups}, indent=2) + "\n")


def settings_of(size: str) -> PretrainSettings:
    """Return the settings of a configuration, with places that are not used."""
    path = f"{Path(__file__).resolve().parents[1]}/configs/pretrain/{size}.yaml"
    return load_settings(PretrainSettings, [path, "data=unused", "run_dir=unused"])


def grouped(found: Mapping[Key, float]) -> dict[str, dict[str, dict[str, float]]]:
    """Return values by what grows, cost and size, and the exponent of each series."""
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for (group, cost, size), value in found.items():
        groups.setdefault(group, {}).setdefault(cost, {})[str(size)] = value
    for series in (series for group in groups.values() for series in group.values()):
        series["exponent"] = exponent([float(size) for size in series], list(series.values()))
    return groups


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return p of the law values = c * sizes**p that fits their logarithms best."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return Markdown, numbers to three digits."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    lines = [[cell(value) for value in row] for row in ([*header], *rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measure_records(rounds: int) -> dict[Key, float]:
    """Return what corpora of growing size cost, the order of an epoch, and the masks of a step."""
    from shards.build.run import build_shards
    from shards.settings import ShardsSettings
    from shards.simulator import data_set, settings

    work, found = dict[Key, Callable[[], object]](), dict[Key, float]()
    with tempfile.TemporaryDirectory() as place:
        for count in CORPORA:
            source, output = (Path(place) / f"{kind}-{count}" for kind in ("records", "shards"))
            data_set.simulate(settings.SimulateSettings(output=source, records=count))
            built = {"source": source, "output": output, "source_kind": "mimic_iv_ecg"}
            build_shards(ShardsSettings.model_validate(built | {"workers": 1}))
            for _ in range(2):  # the first imports what it needs
                tracemalloc.start()
                before, corpus = pa.total_allocated_bytes(), Corpus(output)
                read = Stream(Split(corpus, np.arange(len(corpus)), Preprocessor()))
                read(np.arange(1))
                held = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - before
                tracemalloc.stop()
            found["recordings", "bytes held", count] = held
            chosen = np.random.default_rng(0).integers(len(corpus), size=128)
            work["recordings", "reading 128", count] = partial(read, chosen)
        for count in EPOCHS:
            work["epoch size", "order", count] = partial(_epoch_order.__wrapped__, count, 0, 0)
        for count in BATCHES:
            for own, cost in ((count, "masks of all"), (count // 8, "masks of an eighth")):
                work["batch size", cost, count] = partial(masks, count, 12, 50, own)
        return found | best_ms(work, rounds)


def masks(batch: int, leads: int, patches: int, own: int) -> Mask:
    """Draw the masks of a batch, three quarters hidden, for the first `own` recordings."""
    draw = partial(draw_mask, "random", mask_ratio=0.75, generator=torch.Generator())
    return draw(batch=batch, leads=leads, patches=patches, rows=torch.arange(own))


def measure_shapes(rounds: int) -> dict[Key, float]:
    """Return time, memory and arithmetic of a step of each method by leads and by patches."""
    shapes = [("leads", count, count, 50) for count in LEAD_COUNTS]
    shapes += [("patches", count, 12, count) for count in PATCH_COUNTS]
    work, counted = dict[Key, Callable[[], object]](), dict[Key, float]()
    for method in METHODS:
        model = model_of(method)
        train = trainer(model, model)
        for group, size, leads, patches in shapes:
            work[group, f"{method}, step", size] = partial(train, 2, leads, patches)
            flops = step_flops(model.settings, batch=2, leads=leads, patches=patches)
            kept = 2 * kept_bytes(model.settings, KEPT_FP32, leads=leads, patches=patches)
            counted[group, f"{method}, GFLOP", size] = flops / 1e9
            counted[group, f"{method}, kept, MB", size] = kept / 1e6
    return best_ms(work, rounds) | counted


def model_of(method: str) -> LAMAE:
    """Build the autoencoder of a method, at size tiny, that predicts samples of all patches."""
    settings = settings_of("tiny").model
    encoder = settings.encoder.model_copy(update={"method": method})
    return LAMAE(AutoencoderSettings(encoder=encoder, decoder=settings.decoder))


def trainer(model: torch.nn.Module, bare: LAMAE) -> Callable[[int, int, int], None]:
    """Return a function that does a step on some ECGs, leads and patches of noise."""
    optimizer = adamw(bare, lr=1e-4, weight_decay=0.05, betas=(0.9, 0.95))

    def train(batch: int, leads: int, patches: int) -> None:
        signal = torch.randn(batch, leads, patches * bare.settings.encoder.patch_size)
        model(signal, LEADS[:leads], mask=masks(batch, leads, patches, batch)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return train


def measure_processes(rounds: int) -> dict[Key, float]:
    """Return times of steps that one process does, or two together."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return next(pool.map(partial(step_together, port=port, rounds=rounds), range(2)))


def step_together(rank: int, *, port: int, rounds: int) -> dict[Key, float]:
    """Do steps with another process; those of one process, the first does while both wait."""
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": f"{port}", "OMP_NUM_THREADS": "1"}
    accelerator = Accelerator(cpu=True)
    torch.set_num_threads(1)
    work: dict[Key, Callable[[], object]] = {}
    for method in METHODS:
        alone, shared = model_of(method), model_of(method)
        step = partial(trainer(alone, alone), 4, 12, 50)
        work["processes", f"{method}, step", 1] = (lambda: None) if rank else step
        together = trainer(accelerator.prepare(shared), shared)
        work["processes", f"{method}, step", 2] = partial(together, 2, 12, 50)
    for count in (10**6, 10**7):
        sum_up = partial(torch.distributed.all_reduce, torch.zeros(count))
        work["parameters", "all-reduce, two processes", count] = sum_up
    found = best_ms(work, rounds, together=accelerator.wait_for_everyone)
    torch.distributed.destroy_process_group()
    return found


def best_ms(
    work: Mapping[Key, Callable[[], object]], rounds: int, together: Callable[[], object] = int
) -> dict[Key, float]:
    """Return the shortest time of each, after a first one that is not counted."""
    best = dict.fromkeys(work, float("inf"))
    for number in range(rounds + 1):
        for key, function in work.items():
            together()
            started = time.perf_counter()
            function()
            if number:
                best[key] = min(best[key], 1e3 * (time.perf_counter() - started))
    return best


def plan() -> str:
    """Return the tables of corpora, sizes, epochs, and of steps at half of the H200's peak."""
    tables: list[list[list[object]]] = [[[*header.split(", ")]] for header in PLAN_HEADERS]
    corpora, sizes, epochs, steps = tables
    for count in ORDER_S:
        for rate in (500, 250):
            raw = count * rate * RECORDING_BYTES
            held = [int(-(-raw // (memory - SPARE))) for _, memory, _ in GPUS.values()]
            stored = [share * raw / 1e9 for share in (1, *COMPRESSED)]
            host = [count / BUILD_PER_S / 3600, count * INDEX_BYTES / 1e9, ORDER_S[count]]
            corpora.append([count, rate, *stored, *host, *held])
    for size in SIZES:
        settings = settings_of(size)
        with torch.device("meta"):
            parameters = sum(each.numel() for each in LAMAE(settings.model).parameters())
        flops = step_flops(settings.model, batch=1, leads=12, patches=settings.patches)
        cost = [flops / 1e9, parameters * STATE_BYTES / 1e9]
        for bytes_of in (kept_bytes, checkpointed_bytes):
            kept = bytes_of(settings.model, KEPT_BF16, leads=12, patches=settings.patches)
            free = [memory - SPARE - STATE_BYTES * parameters for _, memory, _ in GPUS.values()]
            cost += [kept / 1e6, *(int(each / kept) for each in free)]
        sizes.append([size, parameters / 1e6, *cost])
        for name, (peak, _, _) in GPUS.items():
            for mfu in MFUS:
                one = [count * flops / mfu / peak for count in ORDER_S]
                seconds = [each / gpus for each in one for gpus in COUNTS]
                epochs.append([size, name, mfu, mfu * peak / flops, *seconds])
        for gpus in COUNTS:
            steps.append([size, gpus, *step_row(settings.batch_size, gpus, flops, parameters)])
    return "\n\n".join(table(rows[0], rows[1:]) for rows in tables)


def step_row(batch: int, gpus: int, flops: float, parameters: int) -> list[float]:
    """Return ECGs of each H200, milliseconds of a step's parts, threads of the host, GB/s."""
    peak, _, link = GPUS["H200"]
    local, compute = min(gpus, NODE), batch * flops / gpus / (MFUS[-1] * peak)
    inside, between = (8 * parameters * (n - 1) / n for n in (local, gpus // local))
    network = [inside / link, between / 50e9, between / 25e9]  # 400 and 200 Gb/s
    host = [DRAW_S * batch + SORT_S * batch / gpus, batch / gpus / READ_PER_S]
    times = [1e3 * each for each in (compute, *(n / LINK_SHARE for n in network), *host)]
    taken = batch * local / gpus * 500 * RECORDING_BYTES / compute / 1e9
    return [batch // gpus, *times, int(-(-sum(host) // compute)), taken]


if __name__ == "__main__":
    main()

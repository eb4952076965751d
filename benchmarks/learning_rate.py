"""The best learning rate by width, with and without a scale for hidden matrices.

.venv/bin/python benchmarks/learning_rate.py SHARDS [--widths 32 64 128] [--rates 0.001 0.002 ...]
[--steps 200] [--batch-size 16] [--seeds 1] [--minutes 30] [--json FILE]

configs/pretrain/cpu.yaml, with four leads and in a small depth, is pretrained at each width with
each peak learning rate. `standard`: one learning rate for all weights. `scaled`: that of a matrix
whose inputs grow in number with the width is multiplied by the narrowest width over its own, as muP
(Yang et al., arXiv 2203.03466) has it for Adam; vectors and the layers that read patches keep
theirs, and nothing else of muP is done. At the narrowest width both are one. The loss, features
included, is the mean over the last quarter of the steps and over seeds; while no recording has come
twice, it is that of recordings not trained on. Widths keep 32 units for each head of the encoder.
Runs that the minutes do not suffice for are left out; with --json, a second call goes on.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from lamae.config import load_settings
from lamae.model.autoencoder import LAMAE
from lamae.training.optim import AdamW
from pretrain.batches import Reader, step_batches
from pretrain.data import Corpora
from pretrain.loop import train_step
from pretrain.settings import PretrainSettings
from pretrain.start import set_statistics, start_training

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "pretrain" / "cpu.yaml"
WIDTHS, RATES = (32, 64, 128), (2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2)
HEAD, LOSS = 32, "train/loss"
KINDS = ("standard", "scaled")
FIXED = ("encoder.embed.",)
"""Matrices whose number of inputs is not that of a token."""


def main() -> None:
    """Train, print the losses by width, and write JSON where asked to."""
    if not (__package__ or sys.flags.safe_path):  # else benchmarks/shards.py hides the package
        os.execv(sys.executable, [sys.executable, "-P", *sys.argv])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ends, found = time.monotonic() + 60 * given.minutes, dict[str, float]()
    statistics: dict[int, dict[str, Tensor]] = {}
    if given.json and given.json.exists():
        found = json.loads(given.json.read_text())["losses"]
    about = {"steps": given.steps, "batch_size": given.batch_size, "torch": torch.__version__}
    for key, settings, factor in runs(given):
        if key in found or time.monotonic() > ends:
            continue
        started = time.monotonic()
        found[key] = loss_after(settings, factor, statistics)
        print(f"{key:40} {found[key]:.4f} {time.monotonic() - started:6.1f} s", flush=True)
        if given.json:
            given.json.write_text(json.dumps(about | {"losses": found}, indent=2) + "\n")
    print(table(found, given.widths, given.rates, given.seeds))


def runs(given: argparse.Namespace) -> list[tuple[str, PretrainSettings, float]]:
    """Return name, settings and scale of hidden matrices of each run, the cheapest first."""
    base = min(given.widths)
    return [
        (name_of(kind, width, rate, seed), settings_of(given, width, rate, seed), factor)
        for seed in range(given.seeds)
        for width in given.widths
        for kind, factor in (("standard", 1.0), ("scaled", base / width))
        if kind == "standard" or factor < 1
        for rate in given.rates
    ]


def name_of(kind: str, width: int, rate: float, seed: int) -> str:
    """Return the name of a run."""
    return f"{kind}, width {width}, lr {rate:g}, seed {seed}"


def settings_of(given: argparse.Namespace, width: int, rate: float, seed: int) -> PretrainSettings:
    """Return the settings of a run, with a place that is not used."""
    decoder = 3 * width // 4
    changes: dict[str, Any] = {
        "data": given.shards,
        "run_dir": "unused",
        "preprocess.leads": "[I, II, V2, V5]",
        "model.encoder.width": width,
        "model.encoder.heads": width // HEAD,
        "model.encoder.depth": 2,
        "model.encoder.latent_depth": 1,
        "model.decoder.width": decoder,
        "model.decoder.heads": width // HEAD,
        "model.decoder.depth": 1,
        "lr": rate,
        "seed": seed,
        "steps": given.steps,
        "warmup_steps": given.steps // 10,
        "batch_size": given.batch_size,
        "cpu_threads": 1,
    }
    arguments = [f"{key}={value}" for key, value in changes.items()]
    return load_settings(PretrainSettings, [str(CONFIG), *arguments])


def loss_after(
    settings: PretrainSettings, factor: float, statistics: dict[int, dict[str, Tensor]]
) -> float:
    """Return the mean loss over the last quarter of the steps.

    Statistics of the targets are those of the recordings, whatever the width: by seed, once.
    """
    accelerator = Accelerator(cpu=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = settings.model_copy(update={"run_dir": Path(folder)})
        corpora = Corpora(settings)
        training = start_training(settings, accelerator, corpora)
        if settings.seed not in statistics:
            set_statistics(training, corpora.train)
            statistics[settings.seed] = dict(training.bare_model.named_buffers())
        training.bare_model.load_state_dict(statistics[settings.seed], strict=False)
        scale_hidden(training.bare_model, training.bare_optimizer, factor)
        read = Reader(corpora.train, settings, accelerator.device)
        losses = [
            float(train_step(training, step_batches(settings, accelerator, read, step))[LOSS])
            for step in range(settings.steps)
        ]
        return sum(losses[-(len(losses) // 4) :]) / (len(losses) // 4)


def scale_hidden(model: LAMAE, optimizer: AdamW, factor: float) -> None:
    """Multiply the learning rate of hidden matrices in each step, whatever the loop sets."""
    hidden = {id(parameter) for parameter in hidden_matrices(model)}
    for group in list(optimizer.param_groups):
        apart = [parameter for parameter in group["params"] if id(parameter) in hidden]
        if apart:
            group["params"] = [each for each in group["params"] if id(each) not in hidden]
            optimizer.add_param_group({**group, "params": apart})
    scaled = [group for group in optimizer.param_groups if id(group["params"][0]) in hidden]

    def scale(*_: object) -> None:
        for group in scaled:
            group["lr"] *= factor

    optimizer.register_step_pre_hook(scale)


def hidden_matrices(model: LAMAE) -> list[nn.Parameter]:
    """Return the matrices whose number of inputs grows with the width."""
    return [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and not name.endswith("lead_embedding")
        if not name.startswith(FIXED)
    ]


def table(
    found: Mapping[str, float], widths: Sequence[int], rates: Sequence[float], seeds: int
) -> str:
    """Return Markdown: losses by kind and width, the best learning rate at the end."""
    lines = [["", "width", *(f"{rate:g}" for rate in rates), "best"]]
    for kind in KINDS:
        for width in widths:
            row: dict[float, float] = {}
            for rate in rates:
                names = [name_of(kind, width, rate, seed) for seed in range(seeds)]
                if all(name in found for name in names):
                    row[rate] = sum(found[name] for name in names) / seeds
            if row:
                cells = [f"{row[rate]:.4f}" if rate in row else "" for rate in rates]
                lines.append([kind, str(width), *cells, f"{min(row, key=lambda r: row[r]):g}"])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()

"""Embedding throughput, the latency of one 10-s ECG in every mode, and the time of a probe.

.venv/bin/python benchmarks/classifiers.py [--sizes cpu small] [--batch 16] [--json FILE]
Sizes are those of configs/pretrain. A latency is of one recording, from its signal as the
preprocessor gives it to its logits, the best of rounds in which all modes take turns; the same
with a batch is the throughput. `embed` is the encoder with pooling, as a probe uses it. On a GPU
bf16; on a CPU fp32, one thread, and times are the processor's, which other work on the machine
does not lengthen. `probe_20000_seconds` is the fit of a linear probe on 20,000
records of 1,024 features that share 64 directions, over the six strengths of the penalty and the
hold-out, as finetune/main.py does it once embeddings are kept; always in processor time.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from finetune.classifiers.classifier import Architecture, build_classifier
from finetune.classifiers.settings import WITHOUT_ENCODER, Mode
from finetune.settings import FinetuneSettings
from finetune.training.linear_probe import fit_linear_probe
from lamae.batches.dataset import Batch
from lamae.config import load_settings
from lamae.model.encoder import Encoder
from lamae.model.pooling import pool
from pretrain.settings import PretrainSettings

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "pretrain"
CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"
CLOCK = time.perf_counter if ON_GPU else time.process_time
RECORDS, FEATURES, DIRECTIONS = 20_000, 1_024, 64


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = [path.stem for path in sorted(CONFIGS.glob("*.yaml"))]
    parser.add_argument("--sizes", nargs="+", choices=sizes, default=["cpu", "small"])
    parser.add_argument("--batch", type=int, default=256 if ON_GPU else 16)
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
        "probe_20000_seconds": measure_probe(),
    }
    for size in arguments.sizes:
        found = measure_modes(size, arguments.batch, arguments.rounds)
        results |= {f"{name}_{size}": value for name, value in found.items()}
    for name, value in results.items():
        print(f"{name:44} {value:10.4g}" if isinstance(value, float) else f"{name:44} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def measure_modes(size: str, batch: int, rounds: int) -> dict[str, float]:
    """Return milliseconds for one recording and recordings per second in a batch, by mode."""
    places = ["data=unused", "run_dir=unused"]
    pretraining = load_settings(PretrainSettings, [str(CONFIGS / f"{size}.yaml"), *places])
    preprocess, encoder = pretraining.preprocess, pretraining.model.encoder
    settings = FinetuneSettings(data=Path("unused"), encoder=Path("unused"))
    work: dict[str, Callable[[], object]] = {}
    for number in (1, batch):
        signal = torch.randn(number, len(preprocess.leads), preprocess.samples)
        one = Batch(signal, None, tuple(map(str, range(number))))
        embedder = Encoder(encoder).to(DEVICE).eval()
        work[f"embed {number}"] = partial(embed, embedder, signal.to(DEVICE), preprocess.leads)
        for mode in get_args(Mode):
            architecture = Architecture(
                mode=mode,
                classes=CLASSES,
                multi_label=True,
                preprocess=preprocess,
                pooling=settings.pooling,
                encoder=None if mode in WITHOUT_ENCODER else encoder,
                lasan=settings.lasan,
                cnn_attention_bilstm=settings.cnn_attention_bilstm,
                hierarchical_transformer=settings.hierarchical_transformer,
            )
            classifier = build_classifier(architecture)
            classifier.model.to(DEVICE).eval()
            work[f"{mode} {number}"] = partial(classifier.outputs, one, DEVICE)
    seconds = best_seconds(work, rounds)
    modes = ("embed", *get_args(Mode))
    return {f"latency_ms_{mode}": 1e3 * seconds[f"{mode} 1"] for mode in modes} | {
        f"ecg_per_second_{mode}": batch / seconds[f"{mode} {batch}"] for mode in modes
    }


def embed(encoder: Encoder, signal: torch.Tensor, leads: tuple[str, ...]) -> torch.Tensor:
    """Embed as a probe does."""
    return pool(encoder(signal, leads), "lead_mean", None)


def best_seconds(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the shortest time of each, after a first one that is not counted."""
    best = dict.fromkeys(work, float("inf"))
    with torch.inference_mode(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=ON_GPU):
        for number in range(rounds + 1):
            for name, function in work.items():
                wait_for_device()
                started = CLOCK()
                function()
                wait_for_device()
                if number:
                    best[name] = min(best[name], CLOCK() - started)
    return best


def wait_for_device() -> None:
    """Wait until a GPU has done what it was given."""
    if ON_GPU:
        torch.cuda.synchronize()


def measure_probe() -> float:
    """Return the processor time of a probe on drawn features and five drawn classes."""
    generator = np.random.default_rng(0)
    hidden = generator.normal(size=(RECORDS, DIRECTIONS))
    mixed = hidden @ generator.normal(size=(DIRECTIONS, FEATURES)) / DIRECTIONS**0.5
    features = (mixed + 0.3 * generator.normal(size=mixed.shape)).astype(np.float32)
    evidence = hidden[:, : len(CLASSES)] + generator.normal(size=(RECORDS, len(CLASSES)))
    started = time.process_time()
    fit_linear_probe(
        features,
        evidence > 1.0,
        [str(number) for number in range(RECORDS)],
        classes=CLASSES,
        multi_label=True,
        generator=generator,
    )
    return time.process_time() - started


if __name__ == "__main__":
    main()

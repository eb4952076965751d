"""How well blocks of shards are shuffled: labels that a batch shares, and a probe after training.

.venv/bin/python benchmarks/shuffle.py SHARDS FOLDER [--label-set superclass] [--steps 0]
[--seeds 1] [--json FILE]

The recordings of the training split are laid into shards of `--shard-records`, once as they are
and once sorted by label, which is the worst that a builder can do; nothing is written, as an order
looks at the shard of each recording alone. Over one epoch of each order, the correlation is that
of two labels of one batch, all classes pooled: 0 where a batch is drawn at random, 1 where all of
a batch are alike. Gradients of a batch are as noisy as those of `independent` recordings.

With `--steps`, configs/pretrain/cpu.yaml, in a small size, is trained for so many steps in each
order over the sorted shards, and the online probe scores it on the validation split.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from accelerate import Accelerator

from lamae.batches.order import BlockOrder, GlobalOrder
from lamae.config import load_settings
from lamae.runs.tracking import SUMMARY, read_summary
from lamae.storage.corpus import Corpus
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings

ROOT = Path(__file__).resolve().parents[1]
WINDOWS = (1, 2, 4, 8, 16, 32)
SMALL = ("model.encoder.width=64", "model.encoder.depth=2", "model.encoder.latent_depth=1",
         "model.decoder.width=48", "model.decoder.depth=1", "warmup_steps=20")  # fmt: skip


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    if not (__package__ or sys.flags.safe_path):  # else benchmarks/shards.py hides the package
        os.execv(sys.executable, [sys.executable, "-P", *sys.argv])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--label-set", default="superclass")
    parser.add_argument("--shard-records", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--windows", type=int, nargs="+", default=WINDOWS)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    corpus = Corpus(arguments.shards)
    labels = label_matrix(corpus, arguments.label_set)
    results: dict[str, Any] = {
        "recordings": len(labels),
        "shard_records": arguments.shard_records,
        "batch_size": arguments.batch_size,
        "orders": {
            kind: correlations(labels, shards, arguments)
            for kind, shards in (
                ("as built", dealt(np.arange(len(labels)), arguments.shard_records)),
                ("sorted", dealt(by_label(labels), arguments.shard_records)),
            )
        },
    }
    if arguments.steps:
        results["steps"] = arguments.steps
        results["probe"] = {
            name: [train(arguments, name, by_label(labels), s) for s in range(arguments.seeds)]
            for name in names(arguments.windows)
        }
    print_table(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def label_matrix(corpus: Corpus, label_set: str) -> np.ndarray:
    """Return bool (recordings, classes) of the training split; unlabelled ones have none."""
    labels = corpus.labels(label_set)
    of_rows = [labels[row] or () for row in corpus.rows("train")]
    classes = sorted({name for each in of_rows for name in each})
    return np.array([[name in each for name in classes] for each in of_rows])


def by_label(labels: np.ndarray) -> np.ndarray:
    """Return the recordings in the order of their sets of classes."""
    return np.lexsort(labels.T[::-1])


def dealt(recordings: np.ndarray, shard_records: int) -> np.ndarray:
    """Return the shard of each recording, where shards are filled in this order."""
    shards = np.empty(len(recordings), dtype=np.int32)
    shards[recordings] = np.arange(len(recordings)) // shard_records
    return shards


def names(windows: tuple[int, ...]) -> list[str]:
    """Return the names of the orders."""
    return ["global", *(f"blocks of {window}" for window in windows)]


def correlations(
    labels: np.ndarray, shards: np.ndarray, arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return correlation and independent recordings of a batch, for each order, over an epoch."""
    count, size = len(labels), arguments.batch_size
    walks = {
        "files": np.argsort(shards, kind="stable"),
        "global": GlobalOrder(shards, seed=0).positions(0, count),
    } | {
        f"blocks of {window}": BlockOrder(shards, seed=0, window=window).positions(0, count)
        for window in arguments.windows
    }
    found = {}
    for name, walk in walks.items():
        correlation = intraclass_correlation(labels[walk], size)
        independent = size / (1 + (size - 1) * max(correlation, 0.0))
        found[name] = {"correlation": correlation, "independent": independent}
    return found


def intraclass_correlation(labels: np.ndarray, size: int) -> float:
    """Return the correlation of two labels of one batch: 0 for batches drawn at random."""
    whole = labels[: len(labels) // size * size].astype(float)
    means = whole.reshape(-1, size, whole.shape[1]).mean(axis=1)
    between, total = means.var(axis=0).sum(), whole.var(axis=0).sum()
    return float((size * between / total - 1) / (size - 1))


def train(arguments: argparse.Namespace, name: str, order: np.ndarray, seed: int) -> dict[str, Any]:
    """Pretrain in one order over shards that are sorted by label; return loss and probe."""
    run = arguments.folder / f"{name.replace(' ', '_')}-{arguments.steps}-{seed}"
    if not (run / SUMMARY).exists():
        window = name.rpartition(" ")[2]
        kind = ["order=blocks", f"block_shards={window}"] if window.isdecimal() else []
        values = [f"data={arguments.shards}", f"run_dir={run}", f"seed={seed}", "resume=true"]
        values += [f"steps={arguments.steps}", f"batch_size={arguments.batch_size}", *SMALL, *kind]
        values += [f"probe.every={arguments.steps}", f"probe.label_set={arguments.label_set}"]
        config = ROOT / "configs" / "pretrain" / "cpu.yaml"
        settings = load_settings(PretrainSettings, [str(config), "cpu_threads=1", *values])
        with patch.object(Corpus, "shard_codes", sorted_codes(order, arguments.shard_records)):
            pretrain(settings, Accelerator(cpu=True))
    summary = read_summary(run)
    return {key: summary[key] for key in ("val_loss", "probe_auroc_macro", "seconds")}


def sorted_codes(order: np.ndarray, shard_records: int) -> Any:
    """Return a method that says in which shard each recording would be."""

    def shard_codes(corpus: Corpus) -> tuple[np.ndarray, tuple[str, ...]]:
        codes = np.zeros(len(corpus), dtype=np.int32)
        codes[corpus.rows("train")] = dealt(order, shard_records)
        return codes, tuple(map(str, range(codes.max() + 1)))

    return shard_codes


def print_table(results: dict[str, Any]) -> None:
    """Print a row for each order, and one for each run."""
    sys.stdout.write("| shards | order | correlation | independent |\n|---|---|---|---|\n")
    for kind, rows in results["orders"].items():
        for name, row in rows.items():
            line = f"| {kind} | {name} | {row['correlation']:.4f} | {row['independent']:.1f} |"
            sys.stdout.write(line + "\n")
    for name, runs in results.get("probe", {}).items():
        means = {key: np.mean([run[key] for run in runs]) for key in runs[0]}
        sys.stdout.write(f"{name}: {', '.join(f'{k} {v:.4f}' for k, v in means.items())}\n")


if __name__ == "__main__":
    main()

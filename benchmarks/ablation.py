"""LAMAE against independent, alignment and joint encoders, and masks against masks, on real data.

.venv/bin/python benchmarks/ablation.py SHARDS FOLDER [--arms ARM ...] [--seeds 3] [--json FILE]
Pretrains configs/pretrain/cpu.yaml once for each arm and seed on the training split, about nine
minutes each on one core, then fits the superclass probe of
configs/finetune/ptbxl_superclass.yaml on some patients of that split, the same for all, and
scores it on the validation split. All arms have equal steps, order of recordings and decoder, and,
arms of masking aside, differ in `encoder.method` alone. An interrupted run goes on where it was.

An arm's figure is the mean over its seeds. Its interval and that of a paired difference are the
symmetric bootstrap over patients of that mean, the same patients for all arms and seeds; the spread
over seeds stands beside it, since three seeds give no interval of their own.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from finetune.data.tasks import Task, make_task
from finetune.experiment.probe_features import embed_all
from finetune.settings import FinetuneSettings
from finetune.training.embeddings import EmbeddingCache
from finetune.training.linear_probe import fit_linear_probe
from lamae.config import load_settings
from lamae.model.checkpoint import load_autoencoder
from lamae.model.encoder import Encoder
from lamae.runs.tracking import SUMMARY, read_summary
from lamae.statistics.interval import Interval
from lamae.statistics.metrics import class_scores, macro
from lamae.statistics.score_intervals import BootstrapScores, bootstrap_scores
from lamae.storage.corpus import Corpus

ROOT = Path(__file__).resolve().parents[1]
PRETRAIN, PROBE = (
    ROOT / "configs" / name for name in ("pretrain/cpu.yaml", "finetune/ptbxl_superclass.yaml")
)
ARMS = {
    "lamae": [],
    "independent": ["model.encoder.method=independent"],
    "alignment": ["model.encoder.method=alignment"],
    "joint": ["model.encoder.method=joint"],
    "lamae, tube masks": ["model.masking.random=0", "model.masking.tube=1"],
    "lamae, half random, half lead masks": ["model.masking.random=1", "model.masking.lead=1"],
}
RANDOM = "lamae, random weights"


def main() -> None:
    """Do what has not been done yet, print a table, and write JSON where asked to."""
    if not (__package__ or sys.flags.safe_path):  # else benchmarks/shards.py hides the package
        os.execv(sys.executable, [sys.executable, "-P", *sys.argv])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--probe-patients", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    corpus = Corpus(arguments.shards)
    settings = load_settings(
        FinetuneSettings, [str(PROBE), "encoder=unused", f"data={arguments.shards}"]
    )
    task = with_patients(make_task(corpus, settings), arguments.probe_patients)
    scores: dict[str, list[np.ndarray]] = {}
    losses: dict[str, list[float]] = {}
    for seed in range(arguments.seeds):
        for arm in arguments.arms:
            name = arm.replace(", ", "-").replace(" ", "_")
            steps, size = arguments.steps, arguments.batch_size
            run = arguments.folder / f"{name}-{steps}x{size}-{seed}"
            fixed = [f"data={arguments.shards}", f"run_dir={run}", f"steps={steps}"]
            fixed.append(f"batch_size={size}")
            if not (run / SUMMARY).exists():
                pretrain([*fixed, f"seed={seed}", *ARMS[arm]])
            scores.setdefault(arm, []).append(probe(run, corpus, task, settings, seed=seed))
            losses.setdefault(arm, []).append(read_summary(run)["val_loss"])
        drawn = probe(run, corpus, task, settings, seed=seed, draw_weights=True)
        scores.setdefault(RANDOM, []).append(drawn)
    results = {"steps": arguments.steps, "batch_size": arguments.batch_size}
    results |= {"seeds": arguments.seeds, "torch": torch.__version__}
    results |= compare(scores, losses, task)
    print_table(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def with_patients(task: Task, number: int) -> Task:
    """Keep the training recordings of some patients, drawn once."""
    names = np.array(task.train.patients)
    kept = np.random.default_rng(0).permutation(np.unique(names))[:number]
    return task._replace(train=task.train.only(task.train.rows[np.isin(names, kept)]))


def pretrain(arguments: list[str]) -> None:
    """Pretrain one arm in a process of its own, on one thread; an interrupted one goes on."""
    launch = [sys.executable, "-P", "-m", "accelerate.commands.launch", "--quiet"]
    single = ["--config_file", str(ROOT / "configs/accelerate/single.yaml")]
    often = ["cpu_threads=1", "resume=true", "validate_every=250", "checkpoint_every=250"]
    program = [str(ROOT / "pretrain/main.py"), str(PRETRAIN)]
    subprocess.run([*launch, *single, *program, *often, *arguments], check=True)


def probe(
    run: Path,
    corpus: Corpus,
    task: Task,
    settings: FinetuneSettings,
    *,
    seed: int,
    draw_weights: bool = False,
) -> np.ndarray:
    """Return the linear probe's probabilities of the evaluation recordings, (records, classes)."""
    loaded = load_autoencoder(run)
    encoder = loaded.model.encoder
    if draw_weights:
        torch.manual_seed(seed)
        encoder = Encoder(loaded.model.settings.encoder)
    cache = EmbeddingCache(
        corpus,
        loaded.preprocessor,
        pooling=settings.pooling,
        batch_size=settings.batch_size,
        accelerator=Accelerator(cpu=True),
        folder=run / "embeddings",
    )
    found = embed_all(cache, {"encoder": encoder}, task, max_unusable=0.0)
    train, evaluation = found.by_encoder["encoder"]
    fitted = fit_linear_probe(
        train,
        task.train.labels,
        task.train.patients,
        classes=task.classes,
        multi_label=settings.multi_label,
        generator=np.random.default_rng([settings.seed, 0]),
        l2_grid=settings.l2_grid,
    )
    return fitted.scores(evaluation)


def compare(
    scores: dict[str, list[np.ndarray]], losses: dict[str, list[float]], task: Task
) -> dict[str, Any]:
    """Return each arm's figures, and its difference to the first."""
    evaluation = task.evaluation
    measured: BootstrapScores = bootstrap_scores(
        evaluation.labels,
        {arm: np.stack(of_seeds) for arm, of_seeds in scores.items()},
        evaluation.patients,
        classes=task.classes,
        generator=np.random.default_rng(0),
    )
    arms = {
        arm: {
            "auroc_macro": measured.models[arm].auroc_macro._asdict(),
            "by_seed": [float(macro(class_scores(evaluation.labels, s).auroc)) for s in of_seeds],
            "first_minus_this": measured.differences[arm].auroc_macro._asdict()
            if arm in measured.differences
            else None,
            "val_loss": losses.get(arm),
        }
        for arm, of_seeds in scores.items()
    }
    return {
        "probe_recordings": len(task.train.rows),
        "recordings": measured.records,
        "patients": measured.patients,
        "arms": arms,
    }


def print_table(results: dict[str, Any]) -> None:
    """Print one row of Markdown for each arm."""
    print("| arm | macro AUROC | by seed | LAMAE minus this | validation loss |")
    print("|---|---|---|---|---|")
    for arm, found in results["arms"].items():
        seeds = ", ".join(f"{value:.3f}" for value in found["by_seed"])
        losses = ", ".join(f"{value:.3f}" for value in found["val_loss"] or ())
        auroc, difference = (interval(found[k]) for k in ("auroc_macro", "first_minus_this"))
        print(f"| {arm} | {auroc} | {seeds} | {difference} | {losses} |")


def interval(found: dict[str, float] | None) -> str:
    """Write an estimate with its interval."""
    return str(Interval(**found)) if found else ""


if __name__ == "__main__":
    main()

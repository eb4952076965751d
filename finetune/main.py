"""Evaluate an encoder: `accelerate launch finetune/main.py CONFIG.yaml encoder=RUN data=SHARDS`.

Leaves in run_dir: report.html, summary.json and the cached embeddings.
"""

import sys
import time
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: import this checkout, and never finetune/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from accelerate import Accelerator

from finetune.embeddings import EmbeddingCache
from finetune.evaluate import RANDOM, probe_all, summarise
from finetune.reconstruction import draw_reconstruction
from finetune.report import write_report
from finetune.settings import FinetuneSettings
from finetune.tasks import Task, make_task
from lamae.checkpoint import load_autoencoder
from lamae.config import exit_with, settings_from_command_line
from lamae.corpus import Corpus
from lamae.dataset import Split
from lamae.encoder import Encoder
from lamae.errors import InputError
from lamae.threads import use_cores
from lamae.tracking import SUMMARY, read_metrics, write_summary


def finetune(settings: FinetuneSettings, accelerator: Accelerator) -> None:
    """Probe the frozen encoder against the same encoder at random weights, and report."""
    started = time.monotonic()
    use_cores(accelerator, settings.cpu_threads)
    run_dir = choose_run_dir(settings)
    corpus = Corpus(settings.data)
    task = make_task(corpus, settings)
    loaded = load_autoencoder(settings.encoder)
    torch.manual_seed(settings.seed)
    encoders = {"pretrained": loaded.model.encoder, RANDOM: Encoder(loaded.model.settings.encoder)}

    cache = EmbeddingCache(
        corpus,
        loaded.preprocessor,
        pooling=settings.pooling,
        batch_size=settings.batch_size,
        accelerator=accelerator,
        folder=run_dir / "embeddings",
    )
    features = {
        name: (
            cache.embed(encoder, task.train.rows, name=f"{name}, training split"),
            cache.embed(encoder, task.evaluation.rows, name=f"{name}, evaluation split"),
        )
        for name, encoder in encoders.items()
    }
    embedded = time.monotonic()
    if not accelerator.is_main_process:
        return

    probes, measured = probe_all(features, task, settings)
    summary = write_summary(
        run_dir,
        settings,
        seed=settings.seed,
        **summarise(measured),
        counts=task_counts(task),
        l2={name: probe.l2 for name, probe in probes.items()},
        features=features[RANDOM][0].shape[1],
        seconds={"embeddings": embedded - started, "probes": time.monotonic() - embedded},
    )
    evaluation = Split(corpus, task.evaluation.rows, loaded.preprocessor)
    picture = draw_reconstruction(loaded, evaluation, seed=settings.seed)
    findings = sentences(summary, settings)
    write_report(
        run_dir / "report.html",
        title=f"LAMAE: {settings.label_set}, {settings.mode}",
        findings=findings,
        summary=summary,
        curve=read_metrics(settings.encoder),
        reconstruction=picture.figure,
        caption=picture.caption,
    )
    sys.stdout.write("\n".join([*findings, f"Report: {run_dir / 'report.html'}", ""]))


def choose_run_dir(settings: FinetuneSettings) -> Path:
    """Return run_dir, or a new folder in runs/; raises InputError where results would be lost."""
    if settings.run_dir is None:
        name = f"{settings.label_set}-{settings.mode}-{time.strftime('%Y%m%d-%H%M%S')}"
        return Path("runs") / name
    if (settings.run_dir / SUMMARY).exists() and not settings.overwrite:
        raise InputError(
            f"run folder {settings.run_dir}",
            value=f"holds {SUMMARY}",
            expected="no results of another run",
            remedy="Give overwrite=true to replace them, or another run_dir=.",
        )
    return settings.run_dir


def task_counts(task: Task) -> dict[str, dict[str, int]]:
    """Return recordings, patients and recordings left out, by split."""
    return {
        name: {
            "records": len(part.rows),
            "patients": len(np.unique(part.patients)),
            "without_class": part.unlabelled,
        }
        for name, part in (("train", task.train), ("evaluation", task.evaluation))
    }


def sentences(summary: dict[str, Any], settings: FinetuneSettings) -> list[str]:
    """Say what was found, the most important first."""

    def written(key: str) -> str:
        found = summary[key]
        return f"{found['estimate']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"

    return [
        f"Macro AUROC of the linear probe on {settings.label_set} ({settings.eval_split} split): "
        f"{written('auroc_macro')}.",
        f"The same encoder at random weights: {written('auroc_macro_random')}; "
        f"paired difference {written('auroc_macro_difference')}.",
    ]


if __name__ == "__main__":
    try:
        finetune(settings_from_command_line(FinetuneSettings), Accelerator())
    except InputError as error:
        exit_with(f"error: {error}")
    except KeyboardInterrupt:
        exit_with("interrupted: embeddings computed so far are kept", status=130)

"""Evaluate an encoder: `accelerate launch finetune/main.py CONFIG.yaml encoder=RUN data=SHARDS`.

Leaves in run_dir: report.html, the embeddings, and when all is done summary.json.
"""

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: import this checkout, and never finetune/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from accelerate import Accelerator

from finetune.embeddings import EmbeddingCache
from finetune.evaluate import RANDOM, Features, embed_all, probe_all, summarise
from finetune.linear_probe import GRADIENT_TOLERANCE, LinearProbe
from finetune.reconstruction import draw_reconstruction
from finetune.report import write_report
from finetune.settings import FinetuneSettings
from finetune.tasks import make_task
from lamae.checkpoint import load_autoencoder
from lamae.config import exit_with, settings_from_command_line
from lamae.corpus import Corpus
from lamae.dataset import Split
from lamae.encoder import Encoder
from lamae.errors import InputError
from lamae.files import write_json
from lamae.threads import use_cores
from lamae.tracking import SUMMARY, read_metrics, run_summary

_log = logging.getLogger(__name__)


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
        folder=settings.cache or run_dir / "embeddings",
    )
    features = embed_all(cache, encoders, task, max_unusable=settings.max_unusable)
    embedded = time.monotonic()
    if not accelerator.is_main_process:
        return

    warn_of_unusable(features)
    probes, measured = probe_all(features.by_encoder, features.task, settings)
    summary = run_summary(
        settings,
        seed=settings.seed,
        **summarise(measured),
        counts=counts(features),
        unusable=features.unusable,
        l2={name: probe.l2 for name, probe in probes.items()},
        gradient={name: probe.gradient for name, probe in probes.items()},
        features=features.by_encoder[RANDOM][0].shape[1],
        seconds={"embeddings": embedded - started, "probes": time.monotonic() - embedded},
    )
    evaluation = Split(corpus, features.task.evaluation.rows, loaded.preprocessor)
    picture = draw_reconstruction(loaded, evaluation, seed=settings.seed, device=accelerator.device)
    findings = [*sentences(summary, settings), *doubts(probes)]
    write_report(
        run_dir / "report.html",
        title=f"LAMAE: {settings.label_set}, {settings.mode}",
        findings=findings,
        summary=summary,
        curve=read_metrics(settings.encoder),
        reconstruction=picture.figure,
        caption=picture.caption,
    )
    write_json(run_dir / SUMMARY, summary)  # last: it tells that the run is complete
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


def counts(features: Features) -> dict[str, dict[str, Any]]:
    """Return recordings, patients and recordings left out, by split."""
    parts = {"train": features.task.train, "evaluation": features.task.evaluation}
    return {
        name: {
            "records": len(part.rows),
            "patients": len(np.unique(part.patients)),
            "unlabelled": part.unlabelled,
            "without_class": part.without_class,
            "unusable": {reason: len(keys) for reason, keys in features.unusable[name].items()},
        }
        for name, part in parts.items()
    }


def warn_of_unusable(features: Features) -> None:
    """Name what is left out of each split because it cannot be used."""
    for split, unusable in features.unusable.items():
        for reason, keys in unusable.items():
            shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
            _log.warning("%s split: %d left out, %s: %s", split, len(keys), reason, shown)


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


def doubts(probes: Mapping[str, LinearProbe]) -> list[str]:
    """Name the probes whose numbers may still move, because the fit has not converged."""
    return [
        f"The fit of the linear probe on the encoder {name!r} did not converge: its gradient "
        f"is {probe.gradient:.1e}, above {GRADIENT_TOLERANCE:.0e}."
        for name, probe in probes.items()
        if not probe.converged
    ]


def interruption(settings: FinetuneSettings) -> str:
    """Say what is left of an interrupted run."""
    if settings.cache is None and settings.run_dir is None:
        return "interrupted: with run_dir= or cache=, the next run takes up finished embeddings"
    folder = settings.cache or f"{settings.run_dir}/embeddings"
    return f"interrupted: finished embeddings are kept in {folder}"


def main(settings: FinetuneSettings) -> None:
    """Run, and end with one line where the input is wrong or the user interrupts."""
    try:
        finetune(settings, Accelerator())
    except InputError as error:
        exit_with(f"error: {error}")
    except KeyboardInterrupt:
        exit_with(interruption(settings), status=130)


if __name__ == "__main__":
    main(settings_from_command_line(FinetuneSettings))

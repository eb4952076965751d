"""Probe a pretraining recipe: which features of its encoder carry the superclasses.

python benchmarks/recipe.py SHARDS RUN [--every 2] [--features mean,amplitudes ...] [--json FILE]

Every set of features is the sum of its parts: `mean` and `std` over the patches of each lead, of
the last block or of another (`mean@lead2` is behind the second block that sees one lead,
`mean@latent1` behind the first of latent attention), `amplitudes` in mV, `kernels` untrained.
The probe is that of finetune/main.py: fitted on the split train, its penalty chosen on held-out
patients of it, and scored on the split val.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from finetune.data.tasks import LabelledRows, make_task
from finetune.settings import FinetuneSettings
from finetune.training.linear_probe import fit_linear_probe
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.model.amplitudes import without_scale
from lamae.model.checkpoint import load_autoencoder
from lamae.model.encoder import Encoder
from lamae.model.kernels import Kernels, over_windows
from lamae.model.recorded import Recorded
from lamae.model.settings import KernelSettings
from lamae.statistics.metrics import class_scores, macro
from lamae.storage.corpus import Corpus

L2_GRID = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
BATCH = 128


class Taps:
    """What comes out of each block of an encoder."""

    def __init__(self, encoder: Encoder) -> None:
        """Listen to the blocks of an encoder."""
        self.tokens: dict[str, torch.Tensor] = {}
        for prefix, transformer in (("lead", encoder.per_lead), ("latent", encoder.latent)):
            for number, block in enumerate(transformer.blocks, start=1):
                block.register_forward_hook(self._keep(f"{prefix}{number}"))

    def _keep(self, name: str):
        def hook(_block: object, _given: object, tokens: torch.Tensor) -> None:
            self.tokens[name] = tokens

        return hook

    def features(self, records: int, leads: int) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield mean and deviation over the patches of each lead, by block."""
        for name, tokens in self.tokens.items():
            patches = tokens.reshape(records, leads, -1, tokens.shape[-1])[:, :, 1:]
            yield f"mean@{name}", patches.mean(dim=2).flatten(1)
            yield f"std@{name}", patches.std(dim=2).flatten(1)


@torch.inference_mode()
def embed(
    corpus: Corpus, rows: np.ndarray, model: Encoder, preprocessor: Preprocessor
) -> dict[str, np.ndarray]:
    """Return the features of recordings by name."""
    taps = Taps(model)
    in_mv = Split(corpus, rows, preprocessor.model_copy(update={"normalisation": "none"}))
    own = Split(corpus, rows, preprocessor)
    found: dict[str, list[torch.Tensor]] = {}
    for start in range(0, len(rows), BATCH):
        positions = np.arange(start, min(start + BATCH, len(rows)))
        batch = own.batch(positions)
        latents = model(batch.signal, preprocessor.leads, recorded=Recorded(batch.present))
        shape = batch.signal.shape[:2]
        for name, values in taps.features(*shape):
            found.setdefault(name, []).append(values)
        found.setdefault("cls", []).append(latents.tokens[:, :, 0].flatten(1))
        found.setdefault("attention", []).append(latents.embedding)
        scaled = without_scale(in_mv.batch(positions).signal, Recorded(batch.present))
        found.setdefault("amplitudes", []).append(scaled.amplitudes.flatten(1))
    whole = {name: torch.cat(parts).numpy() for name, parts in found.items()}
    last = "latent" + str(model.settings.latent_depth) if model.settings.latent_depth else None
    last = last or f"lead{model.settings.depth}"
    return whole | {"mean": whole[f"mean@{last}"], "std": whole[f"std@{last}"]}


@torch.inference_mode()
def kernel_features(
    corpus: Corpus,
    parts: list[np.ndarray],
    preprocessor: Preprocessor,
    settings: KernelSettings,
) -> list[np.ndarray]:
    """Return features of untrained kernels, their levels set on the first recordings."""
    kernels = Kernels(settings)
    in_mv = preprocessor.model_copy(update={"normalisation": "none"})
    found = []
    for rows in parts:
        data, batches = Split(corpus, rows, in_mv), []
        for start in range(0, len(rows), BATCH):
            batch = data.batch(np.arange(start, min(start + BATCH, len(rows))))
            signal = without_scale(batch.signal, Recorded(batch.present)).signal
            if not found and not batches:
                kernels.set_levels(signal, batch.present)
            shares = kernels(signal, signal.shape[-1])
            batches.append(over_windows(shares, None).flatten(1))
        found.append(torch.cat(batches).numpy())
    return found


def probe(
    train: np.ndarray, evaluation: np.ndarray, task: tuple[LabelledRows, LabelledRows], classes
) -> dict[str, float]:
    """Return AUROC, macro and by class, of a probe."""
    started = time.monotonic()
    fitted = fit_linear_probe(
        train,
        task[0].labels,
        task[0].patients,
        classes=classes,
        multi_label=True,
        generator=np.random.default_rng([0, 0]),
        l2_grid=L2_GRID,
    )
    auroc = class_scores(task[1].labels, fitted.scores(evaluation)).auroc
    return {
        "macro": float(macro(auroc)),
        **{name: float(value) for name, value in zip(classes, auroc, strict=True)},
        "l2": fitted.l2,
        "width": train.shape[1],
        "hold_out": max(fitted.hold_out_auroc.values()),
        "seconds": time.monotonic() - started,
    }


def main() -> None:
    """Embed once, and probe each set of features."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("run", type=Path, help="run, checkpoint or model folder")
    parser.add_argument("--features", nargs="*", default=["mean", "mean,amplitudes"])
    parser.add_argument("--every", type=int, default=1, help="take one of so many recordings")
    parser.add_argument("--kernels", type=int, default=12)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder in which features are kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus = Corpus(given.shards)
    task = make_task(
        corpus,
        FinetuneSettings(encoder=given.run, data=given.shards, require_class=True),
    )
    train = task.train.only(task.train.rows[:: given.every])
    loaded = load_autoencoder(given.run)
    started = time.monotonic()
    kept = given.keep and given.keep / f"features_{given.every}.npz"
    if kept and kept.is_file():
        archive = np.load(kept)
        parts = [
            {n[6:]: archive[n] for n in archive.files if n.startswith(side)}
            for side in ("train_", "evalu_")
        ]
    else:
        parts = [
            embed(corpus, part.rows, loaded.model.encoder, loaded.preprocessor)
            for part in (train, task.evaluation)
        ]
        if kept:
            sides = zip(("train_", "evalu_"), parts, strict=True)
            np.savez(kept, **{s + n: v for s, part in sides for n, v in part.items()})
    if any("kernels" in wanted for wanted in given.features):
        rows = [train.rows, task.evaluation.rows]
        settings = KernelSettings(count=given.kernels)
        made = kernel_features(corpus, rows, loaded.preprocessor, settings)
        for part, features in zip(parts, made, strict=True):
            part["kernels"] = features
    print(f"embedded in {time.monotonic() - started:.0f} s", flush=True)
    results = {}
    for wanted in given.features:
        sides = [np.concatenate([p[name] for name in wanted.split(",")], axis=1) for p in parts]
        found = probe(sides[0], sides[1], (train, task.evaluation), task.classes)
        results[wanted] = found
        shown = " ".join(f"{k} {v:.4f}" for k, v in found.items() if k not in ("l2", "seconds"))
        print(f"{wanted:34s} {shown} l2 {found['l2']:g} {found['seconds']:.0f} s", flush=True)
    if given.json:
        given.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()

"""Training of an autoencoder on normal windows, and the pretrained one's look at normals."""

import math
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from finetune.anomaly.detector.detectors import Detector, recorded_samples
from finetune.anomaly.detector.latent_distance import fit_normals
from finetune.anomaly.detector.recordings import embed_recordings, grid_windows
from finetune.anomaly.detector.scores import mean_over
from finetune.anomaly.networks.cae import Cae
from finetune.anomaly.networks.objective import beta_at, vae_loss
from finetune.anomaly.settings import AnomalyTraining
from finetune.data.windows import LoaderOptions
from lamae.batches.dataset import Batch, Split, prefetch
from lamae.batches.order import shuffled_positions
from lamae.ecg.windows import Windows
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE

_HALVING, _PATIENCE = 0.5, 5


class Learnt(NamedTuple):
    """History and best step of a training."""

    history: list[dict[str, float]]
    """By validation: step, train/loss, val/loss."""
    best: int
    """Step whose weights were kept."""
    windows: int
    """Different windows of normal recordings."""
    recordings: int
    """Normal recordings that these are of."""
    unusable: dict[str, str]
    """Reason by key of those that were left out."""


def windows_to_learn(data: Split, training: AnomalyTraining) -> Windows:
    """Return the windows of all recordings of a split at the distance of the settings."""
    window, every = data.preprocessor.samples, np.arange(len(data))
    stride = max(1, round(training.stride * window))
    return grid_windows(every, data.lengths(every), window=window, stride=stride)


def learn(
    detector: Detector,
    train: Split,
    validation: Split,
    training: AnomalyTraining,
    *,
    seed: int,
    windows: Windows | None = None,
    progress: str | None = None,
    save: Callable[[], None] | None = None,
) -> Learnt:
    """Train a detector of kind cae or vae_bilstm on its device, and leave the best weights.

    What was not recorded has no loss.

    Args:
        detector: with random weights; left in evaluation mode.
        train: normal recordings; those that cannot be used are replaced by the next.
        validation: normal recordings of other patients.
        training: how.
        seed: decides order, dropout and latents.
        windows: which windows of `train`; by default those of the settings.
        progress: name of a progress bar.
        save: called when the detector is the best so far.

    Raises InputError where a loss is not finite.
    """
    device = next(detector.parameters()).device
    windows = windows_to_learn(train, training) if windows is None else windows
    if not len(windows.positions) or not len(validation):
        raise InputError(
            "normal recordings",
            value=f"{len(train)} to learn from, {len(validation)} to validate on",
            expected="at least one of each",
            remedy="Change normal_class=, label_set= or hold_out=.",
        )
    batches = _batches(train, windows, training, seed)
    parameters = list(detector.parameters())
    optimizer = torch.optim.Adam(parameters, lr=training.lr)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=_HALVING, patience=_PATIENCE
    )
    history: list[dict[str, float]] = []
    best, weights, losses = math.inf, dict[str, Tensor](), list[float]()
    devices = [device] if device.type == "cuda" else []
    with (
        closing(prefetch(batches, start=0, stop=training.steps)) as ahead,
        torch.random.fork_rng(devices=devices),
    ):
        torch.manual_seed(seed)
        draws = torch.Generator(device).manual_seed(seed)
        for step, batch in enumerate(
            tqdm(ahead, total=training.steps, desc=progress, disable=progress is None)
        ):
            loss = _loss(detector.train(), batch, training, beta_at(step, training), draws)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters, training.clip_norm)
            _check_finite(loss + norm, step, "loss plus norm of the gradient")
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if (step + 1) % training.validate_every and step + 1 < training.steps:
                continue
            found = _validate(detector, validation, training)
            _check_finite(torch.tensor(found), step, "validation loss")
            plateau.step(found)
            row = {"step": step + 1, "train/loss": float(np.mean(losses)), "val/loss": found}
            history.append(row)
            losses.clear()
            if found < best:
                best = found
                weights = {k: v.detach().clone() for k, v in detector.state_dict().items()}
                if save is not None:
                    save()
    detector.load_state_dict(weights)
    detector.eval()
    kept = min(history, key=lambda row: row["val/loss"])
    return Learnt(history, int(kept["step"]), len(windows.positions), len(train), {})


def learn_latents(
    detector: Detector, train: Split, reading: LoaderOptions, *, progress: str | None = None
) -> Learnt:
    """Fit where the embeddings of normal recordings lie, for kind lamae.

    Raises InputError where no recording can be used.
    """
    assert detector.normals is not None, "other kinds have no encoder"
    embedded = embed_recordings(detector.eval(), train, reading, name=progress)
    detector.normals.learn(fit_normals(embedded.values))
    recordings = len(np.unique(embedded.positions))
    return Learnt([], 0, len(embedded.values), recordings, embedded.unusable)


def _batches(
    train: Split, windows: Windows, training: AnomalyTraining, seed: int
) -> Callable[[int], Batch]:
    size, count = training.batch_size, len(windows.positions)

    def read(step: int) -> Batch:
        chosen = shuffled_positions(step * size, (step + 1) * size, count=count, seed=seed)
        return train.batch(windows.positions[chosen], windows.starts[chosen])

    return read


def _loss(
    detector: Detector,
    batch: Batch,
    training: AnomalyTraining,
    beta: float,
    generator: torch.Generator | None,
) -> Float[Tensor, ""]:
    network = detector.network
    device = next(network.parameters()).device
    signal, counted = batch.signal.to(device), recorded_samples(batch).to(device)
    if isinstance(network, Cae):
        return mean_over((signal - network(signal)).square(), counted).mean()
    assert not isinstance(network, LAMAE), "a pretrained autoencoder is not trained here"
    found = network(signal, generator=generator)
    return vae_loss(signal, found, counted, beta=beta, kl=training.kl)


def _validate(detector: Detector, validation: Split, training: AnomalyTraining) -> float:
    """Return the mean loss of the first window of recordings, at the highest beta."""
    count = min(len(validation), training.max_validation_recordings)
    detector.eval()
    total = 0.0
    for start in range(0, count, training.batch_size):
        batch = validation.batch(range(start, min(start + training.batch_size, count)))
        with torch.inference_mode():
            loss = _loss(detector, batch, training, training.max_beta, None)
        total += loss.item() * len(batch.keys)
    return total / count


def _check_finite(value: Tensor, step: int, name: str) -> None:
    if not torch.isfinite(value):
        raise InputError(
            f"training step {step}",
            value=f"{name} {value.item():.4g}",
            expected="finite numbers",
            remedy="Lower training.lr, or check the shards.",
        )

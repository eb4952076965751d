"""The baseline of untrained features, by themselves and beside the encoder's.

`kernels` is the probe of fixed kernels and amplitudes. `kernels_and_encoder` is that of both sets
of features together: its gain over the first is what pretraining adds.
"""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool
from torch import Tensor

from finetune.data.windows import loader_options
from finetune.encoders.untrained import Untrained, in_millivolts, untrained_for
from finetune.experiment.candidates import KERNELS, KERNELS_AND_ENCODER
from finetune.settings import FinetuneSettings
from finetune.training.embeddings import EmbeddingCache
from lamae.batches.dataset import Batch, Split
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.storage.corpus import Corpus

_LEVELS_FROM = 512
"""Recordings to whose responses the levels are set; no label is read."""


class KernelBaseline:
    """Features of fixed kernels and amplitudes, with levels set by some recordings."""

    def __init__(
        self,
        corpus: Corpus,
        preprocess: Preprocessor,
        settings: FinetuneSettings,
        *,
        levels_from: np.ndarray,
        accelerator: Accelerator,
        cache: Path,
    ) -> None:
        """Read what the classifier reads, in mV; computed features are kept in `cache`.

        Levels are set by some of the rows `levels_from`. Raises InputError where none of those can
        be used and is as long as the window.
        """
        reads = in_millivolts(preprocess)
        self._untrained = _with_levels(corpus, reads, settings, levels_from)
        self._cache = EmbeddingCache(
            corpus,
            reads,
            pooling="lead_mean",
            batch_size=settings.batch_size,
            accelerator=accelerator,
            folder=cache,
            min_leads=loader_options(preprocess, settings).min_leads,
            workers=settings.data_workers,
        )

    def features_beside(
        self, encoded: np.ndarray, rows: np.ndarray, *, name: str
    ) -> dict[str, np.ndarray]:
        """Return untrained features of rows, by themselves and beside those of an encoder.

        Both are of the rows that can be used, whatever the encoder; `name` is for the progress bar.
        """
        own = self._cache.embed(self._untrained, rows, name=f"{KERNELS}, {name}").features
        return {KERNELS: own, KERNELS_AND_ENCODER: np.concatenate([own, encoded], axis=1)}


def _with_levels(
    corpus: Corpus, reads: Preprocessor, settings: FinetuneSettings, rows: np.ndarray
) -> Untrained:
    untrained = untrained_for(reads, settings.kernels)
    chosen = rows[:: max(len(rows) // _LEVELS_FROM, 1)][:_LEVELS_FROM]
    batch = Split(corpus, chosen, reads).usable(range(len(chosen))).batch
    whole = None if batch is None else _fill_window(batch)
    if batch is None or whole is None or not whole.any():
        raise InputError(
            "baselines kernels",
            value=f"no recording of {reads.duration_s} s to set levels by",
            expected="some training recordings as long as preprocess.duration_s",
            remedy="Leave kernels out of baselines.",
        )
    present = None if batch.present is None else batch.present[whole]
    untrained.set_levels(batch.signal[whole], present)
    return untrained


def _fill_window(batch: Batch) -> Bool[Tensor, " b"]:
    """Return True for each recording that fills the window."""
    if batch.samples is None:
        return torch.ones(len(batch.signal), dtype=torch.bool)
    return batch.samples == batch.signal.shape[-1]

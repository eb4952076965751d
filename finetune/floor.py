"""The floor beneath a linear probe: features that nothing was trained for, alone and beside it.

`kernels` is the probe of fixed kernels and amplitudes. `kernels_and_encoder` is that of both sets
of features together: what it has beyond the first is what pretraining adds.
"""

from pathlib import Path

import numpy as np
from accelerate import Accelerator

from finetune.contenders import KERNELS, KERNELS_AND_ENCODER
from finetune.embeddings import EmbeddingCache
from finetune.encoders.untrained import Untrained, in_millivolts, untrained_for
from finetune.evaluate import Features, embed_all
from finetune.settings import FinetuneSettings
from finetune.windows import reading_of
from lamae.corpus import Corpus
from lamae.dataset import Split
from lamae.errors import InputError
from lamae.preprocess import Preprocessor

_LEVELS_FROM = 512
"""Training recordings to whose responses the levels are set."""


class Floor:
    """Features of fixed kernels and amplitudes, for a corpus and a preprocessor."""

    def __init__(
        self,
        corpus: Corpus,
        preprocess: Preprocessor,
        settings: FinetuneSettings,
        *,
        accelerator: Accelerator,
        cache: Path,
    ) -> None:
        """Read what the classifier reads, in mV; what is computed is kept in `cache`."""
        self._corpus, self._settings = corpus, settings
        self._preprocess = in_millivolts(preprocess)
        self._cache = EmbeddingCache(
            corpus,
            self._preprocess,
            pooling="lead_mean",
            batch_size=settings.batch_size,
            accelerator=accelerator,
            folder=cache,
            min_leads=reading_of(preprocess, settings).min_leads,
            workers=settings.data_workers,
        )

    def features_beside(self, encoders: Features) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return untrained features alone, and beside those of the first encoder.

        They are of the same recordings, those of training first.
        """
        task = encoders.task
        untrained = {KERNELS: self._with_levels(task.train.rows)}
        found = embed_all(self._cache, untrained, task, max_unusable=0.0)
        alone, own = found.by_encoder[KERNELS], next(iter(encoders.by_encoder.values()))
        train, evaluation = (np.concatenate(pair, axis=1) for pair in zip(alone, own, strict=True))
        return {KERNELS: alone, KERNELS_AND_ENCODER: (train, evaluation)}

    def _with_levels(self, rows: np.ndarray) -> Untrained:
        untrained = untrained_for(self._preprocess, self._settings.kernels)
        chosen = rows[:: max(len(rows) // _LEVELS_FROM, 1)][:_LEVELS_FROM]
        batch = Split(self._corpus, chosen, self._preprocess).batch(range(len(chosen)))
        whole = np.ones(len(chosen), dtype=bool)
        if batch.samples is not None:
            whole = (batch.samples == batch.signal.shape[-1]).numpy()
        if not whole.any():
            raise InputError(
                "baselines kernels",
                value=f"no recording of {self._preprocess.duration_s} s to set levels by",
                expected="some training recordings as long as preprocess.duration_s",
                remedy="Leave kernels out of baselines.",
            )
        present = None if batch.present is None else batch.present[whole]
        untrained.set_levels(batch.signal[whole], present)
        return untrained

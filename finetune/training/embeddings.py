"""Embeddings of recordings by a frozen encoder: pooled, computed once, kept on disk."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.numpy import save

from finetune.data.windows import LoaderOptions, average_over_windows
from finetune.encoders.other_encoder import AnyEncoder, present_rows, recorded_of
from finetune.processes import from_main
from lamae.batches.dataset import Batch, Split
from lamae.ecg.preprocess import Preprocessor
from lamae.files import open_whole
from lamae.model.pooling import pool
from lamae.model.settings import Pooling
from lamae.storage.corpus import Corpus

_LAYOUT = b"rows, features, unusable; without padding; mean over windows"
"""Layout of a kept file: one of another layout has another name."""


class Embedded(NamedTuple):
    """Embeddings of those recordings that could be used."""

    rows: Int[np.ndarray, " records"]
    """Their rows in the corpus, in the order asked for."""
    features: Float[np.ndarray, "records features"]
    """One vector for each of them, the mean over its windows."""
    unusable: dict[str, str]
    """By key of a recording that was left out, the reason."""


class EmbeddingCache:
    """Embeddings of the recordings of a corpus, divided among all processes.

    What it computes is kept on disk, and taken from there when weights, or the digest of the file
    that they are in, preprocessor, pooling and recordings are the same.
    """

    def __init__(
        self,
        corpus: Corpus,
        preprocessor: Preprocessor,
        *,
        pooling: Pooling,
        batch_size: int,
        accelerator: Accelerator,
        folder: Path,
        min_leads: int | None = None,
        workers: int = 1,
    ) -> None:
        """Keep embeddings in `folder`.

        A recording with fewer than `min_leads` leads, by default all, is unusable; `workers`
        threads prepare batches ahead.
        """
        self._corpus = corpus
        self._preprocessor = preprocessor
        self._pooling: Pooling = pooling
        self._batch_size = batch_size
        self._accelerator = accelerator
        self._folder = folder
        self._min_leads = len(preprocessor.leads) if min_leads is None else min_leads
        self._workers = workers

    def embed(
        self, encoder: AnyEncoder, rows: Int[np.ndarray, " records"], *, name: str
    ) -> Embedded:
        """Embed the usable recordings of `rows`, in their order; `name` is for the progress bar.

        Which recordings are usable depends on them and on the preprocessor, not on the encoder.
        """
        kept = self._folder / f"{self._fingerprint(encoder, rows)}.safetensors"
        if from_main(self._accelerator, kept.is_file):  # so that all go the same way
            return _read(kept)
        encoder = encoder.to(self._accelerator.device).eval()
        data = Split(self._corpus, rows, self._preprocessor)
        positions, features, unusable = average_over_windows(
            data,
            lambda batch: self._features(encoder, batch),
            LoaderOptions(self._batch_size, self._min_leads, self._workers),
            accelerator=self._accelerator,
            name=f"embed {name}",
        )
        embedded = Embedded(rows[positions], features, unusable)
        from_main(self._accelerator, partial(_write, kept, embedded))
        return embedded

    def _features(self, encoder: AnyEncoder, batch: Batch) -> np.ndarray:
        device = self._accelerator.device
        recorded = recorded_of(batch, encoder.settings).to(device)
        with torch.inference_mode(), self._accelerator.autocast():
            latents = encoder(batch.signal.to(device), self._preprocessor.leads, recorded=recorded)
            rows = present_rows(encoder, recorded.present)
            return pool(latents, self._pooling, rows).float().cpu().numpy()

    def _fingerprint(self, encoder: AnyEncoder, rows: np.ndarray) -> str:
        """Name an embedding by all that it depends on."""
        digest = hashlib.sha256(_LAYOUT)
        for name, value in sorted(encoder.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().numpy().tobytes())
        parts = [
            encoder.settings.model_dump_json(exclude={"file"}),
            self._preprocessor.model_dump_json(),
            self._corpus.digest,
            self._pooling,
            f"{self._min_leads} {self._accelerator.mixed_precision}",
        ]
        digest.update("\n".join(parts).encode())
        digest.update(rows.astype(np.int64).tobytes())
        return digest.hexdigest()[:32]


def _write(kept: Path, embedded: Embedded) -> None:
    arrays = {"rows": embedded.rows, "features": embedded.features}
    with open_whole(kept) as file:
        file.write(save(arrays, {"unusable": json.dumps(embedded.unusable)}))


def _read(kept: Path) -> Embedded:
    with safe_open(kept, "numpy") as file:
        unusable = json.loads(file.metadata()["unusable"])
        return Embedded(file.get_tensor("rows"), file.get_tensor("features"), unusable)

"""Embeddings of recordings by a frozen encoder: pooled, computed once, kept on disk."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.numpy import save
from tqdm import tqdm

from lamae.corpus import Corpus
from lamae.dataset import Batch, Split
from lamae.encoder import Encoder
from lamae.files import open_whole
from lamae.masking import valid_patches
from lamae.pooling import Pooling, pool
from lamae.preprocess import Preprocessor

_LAYOUT = b"rows, features, unusable; without padding"
"""What a kept file holds: one of another layout has another name."""
_NOTHING = np.empty((0, 0), dtype=np.float32)


class Embedded(NamedTuple):
    """Embeddings of those recordings that could be used."""

    rows: Int[np.ndarray, " records"]
    """Their rows in the corpus, in the order asked for."""
    features: Float[np.ndarray, "records features"]
    """One vector for each of them."""
    unusable: dict[str, str]
    """By key of a recording that was left out, the reason."""


class EmbeddingCache:
    """Embeddings of the recordings of a corpus, divided among all processes.

    What it computes is kept on disk, and taken from there when weights, preprocessor, pooling
    and recordings are the same.
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
    ) -> None:
        """Keep embeddings in `folder`."""
        self._corpus = corpus
        self._preprocessor = preprocessor
        self._pooling: Pooling = pooling
        self._batch_size = batch_size
        self._accelerator = accelerator
        self._folder = folder

    def embed(self, encoder: Encoder, rows: Int[np.ndarray, " records"], *, name: str) -> Embedded:
        """Embed the usable recordings of `rows`, in their order; `name` is for the progress bar.

        Which recordings are usable depends on them and on the preprocessor, not on the encoder.
        """
        kept = self._folder / f"{self._fingerprint(encoder, rows)}.safetensors"
        if kept.is_file():
            return _read(kept)
        parts = self._embed_own_share(encoder, Split(self._corpus, rows, self._preprocessor), name)
        embedded = _join(gather_object(parts))
        if self._accelerator.is_main_process:
            with open_whole(kept) as file:
                arrays = {"rows": embedded.rows, "features": embedded.features}
                file.write(save(arrays, {"unusable": json.dumps(embedded.unusable)}))
        self._accelerator.wait_for_everyone()
        return embedded

    def _embed_own_share(self, encoder: Encoder, data: Split, name: str) -> list[Embedded]:
        accelerator = self._accelerator
        shares = np.array_split(np.arange(len(data)), accelerator.num_processes)
        own = shares[accelerator.process_index]
        starts = range(0, len(own), self._batch_size)
        batches = [own[start : start + self._batch_size] for start in starts]
        encoder = encoder.to(accelerator.device).eval()
        hide = not accelerator.is_main_process
        parts = []
        for batch in tqdm(batches, desc=f"embed {name}", unit="batch", disable=hide):
            positions, usable, unusable = data.usable(batch)
            features = _NOTHING if usable is None else self._features(encoder, usable)
            parts.append(Embedded(data.rows[positions], features, unusable))
        return parts

    def _features(self, encoder: Encoder, batch: Batch) -> np.ndarray:
        device = self._accelerator.device
        present = None if batch.present is None else batch.present.to(device)
        valid = None
        if batch.samples is not None:
            size = encoder.settings.patch_size
            patches = batch.signal.shape[-1] // size
            valid = valid_patches(batch.samples, patches=patches, patch_size=size).to(device)
        with torch.inference_mode():
            latents = encoder(
                batch.signal.to(device), self._preprocessor.leads, present=present, valid=valid
            )
            return pool(latents, self._pooling, present).float().cpu().numpy()

    def _fingerprint(self, encoder: Encoder, rows: np.ndarray) -> str:
        """Name an embedding by all that it depends on."""
        digest = hashlib.sha256(_LAYOUT)
        for name, value in sorted(encoder.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().numpy().tobytes())
        parts = [
            encoder.settings.model_dump_json(),
            self._preprocessor.model_dump_json(),
            self._corpus.digest,
            self._pooling,
        ]
        digest.update("\n".join(parts).encode())
        digest.update(rows.astype(np.int64).tobytes())
        return digest.hexdigest()[:32]


def _join(parts: Sequence[Embedded]) -> Embedded:
    filled = [part.features for part in parts if len(part.rows)]
    return Embedded(
        np.concatenate([part.rows for part in parts]).astype(np.int64),
        np.concatenate(filled) if filled else _NOTHING,
        {key: reason for part in parts for key, reason in part.unusable.items()},
    )


def _read(kept: Path) -> Embedded:
    with safe_open(kept, "numpy") as file:
        unusable = json.loads(file.metadata()["unusable"])
        return Embedded(file.get_tensor("rows"), file.get_tensor("features"), unusable)

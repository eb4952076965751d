"""Embeddings: pooled over what is present, computed once, and never taken for others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from finetune.training.embeddings import EmbeddingCache
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.model.encoder import Encoder
from lamae.model.settings import EncoderSettings
from lamae.storage.corpus import Corpus

PREPROCESSOR = Preprocessor(leads=("I", "V1", "V5"), sampling_rate=50, duration_s=5, band_hz=None)


def make_encoder(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(EncoderSettings(patch_size=50, width=16, depth=1, heads=2, latent_depth=1))


def make_cache(
    corpus: Corpus, accelerator: Accelerator, folder: Path, **changes: Any
) -> EmbeddingCache:
    values: dict[str, Any] = {"pooling": "mean_max", "batch_size": 4}
    preprocessor = changes.pop("preprocessor", PREPROCESSOR)
    values |= {"accelerator": accelerator, "folder": folder} | changes
    return EmbeddingCache(corpus, preprocessor, **values)


def test_embeddings_are_those_of_each_recording_in_the_order_of_rows(
    corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    rows = corpus.rows("val")[[7, 0, 3, 11, 5]]
    encoder = make_encoder()
    found = make_cache(corpus, accelerator, tmp_path).embed(encoder, rows, name="some")
    assert found.features.dtype == np.float32
    assert (found.rows.tolist(), found.unusable) == (rows.tolist(), {})
    for row, embedding in zip(rows, found.features, strict=True):
        signal = torch.from_numpy(PREPROCESSOR(corpus.sample(int(row)).record).signal)[None]
        with torch.no_grad():
            tokens = encoder(signal, PREPROCESSOR.leads).tokens[0, :, 1:].flatten(0, 1)
        oracle = np.concatenate([tokens.mean(dim=0).numpy(), tokens.amax(dim=0).numpy()])
        np.testing.assert_allclose(embedding, oracle, atol=1e-5)


def test_the_padding_behind_a_short_recording_changes_no_embedding(
    corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    """Recordings of 5 s in a window of 8 s, pooled over patches, are those in a window of 5 s."""
    rows, encoder = corpus.rows("val")[:3], make_encoder()
    longer = PREPROCESSOR.model_copy(update={"duration_s": 8.0})
    padded, exact = (
        make_cache(corpus, accelerator, tmp_path, preprocessor=p).embed(encoder, rows, name="p")
        for p in (longer, PREPROCESSOR)
    )
    np.testing.assert_allclose(padded.features, exact.features, atol=1e-5)


def refuse(monkeypatch: pytest.MonkeyPatch, rows: list[int]) -> None:
    read = Corpus.record

    def record(self: Corpus, row: int) -> Record:
        if row in rows:
            raise InputError("sample", value="damaged", expected="whole", remedy="Copy it again.")
        return read(self, row)

    monkeypatch.setattr(Corpus, "record", record)


def _refuse(*_: object) -> None:
    raise AssertionError("an encoder was called although its embeddings are kept")


def test_embeddings_are_computed_once(
    corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    rows = corpus.rows("val")[:6]
    first = make_cache(corpus, accelerator, tmp_path).embed(make_encoder(), rows, name="some")
    same = make_encoder()
    same.register_forward_pre_hook(_refuse)
    again = make_cache(corpus, accelerator, tmp_path, batch_size=5).embed(same, rows, name="some")
    assert np.array_equal(again.features, first.features)
    other = make_encoder(seed=1)
    other.register_forward_pre_hook(_refuse)
    with pytest.raises(AssertionError, match="although"):
        make_cache(corpus, accelerator, tmp_path).embed(other, rows, name="some")


@pytest.mark.parametrize("unusable", [[0], [3, 5], [4, 5, 6, 7]])
def test_rows_that_cannot_be_used_are_left_out_with_their_reason_and_stay_so(
    corpus: Corpus,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unusable: list[int],
) -> None:
    rows = corpus.rows("val")[:10]
    whole = make_cache(corpus, accelerator, tmp_path / "whole").embed(
        make_encoder(), rows, name="whole"
    )
    refuse(monkeypatch, rows[unusable].tolist())
    kept = np.delete(np.arange(10), unusable)
    for _ in range(2):  # computed, and read
        found = make_cache(corpus, accelerator, tmp_path / "some").embed(
            make_encoder(), rows, name="some"
        )
        assert found.rows.tolist() == rows[kept].tolist()
        np.testing.assert_allclose(found.features, whole.features[kept], atol=1e-5)
        assert found.unusable == dict.fromkeys(corpus.keys[rows[unusable]], "damaged")


def test_other_weights_preprocessors_poolings_or_recordings_are_kept_apart(
    corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    rows = corpus.rows("val")[:4]
    nearly = make_encoder()
    with torch.no_grad():
        nearly.cls[0] += 1e-6
    filtered = PREPROCESSOR.model_copy(update={"band_hz": (0.5, 20.0)})
    variants: list[tuple[Encoder, np.ndarray, dict[str, Any]]] = [
        (make_encoder(), rows, {}),
        (nearly, rows, {}),
        (make_encoder(), rows, {"preprocessor": filtered}),
        (make_encoder(), rows, {"pooling": "mean"}),
        (make_encoder(), rows[::-1].copy(), {}),
        (make_encoder(), rows[:3], {}),
    ]
    for number, (encoder, chosen, changes) in enumerate(variants):
        make_cache(corpus, accelerator, tmp_path, **changes).embed(encoder, chosen, name="x")
        assert len(list(tmp_path.glob("*.safetensors"))) == number + 1
    assert len(list(tmp_path.iterdir())) == len(variants)

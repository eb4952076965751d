"""Embeddings: pooled over what is present, computed once, and never taken for others."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from finetune.embeddings import EmbeddingCache, Pooling, pool
from lamae.corpus import Corpus
from lamae.encoder import Encoder, EncoderSettings, Latents
from lamae.errors import InputError
from lamae.leads import LEADS
from lamae.preprocess import Preprocessor
from lamae.samples import Sample

PREPROCESSOR = Preprocessor(leads=("I", "V1", "V5"), sampling_rate=50, duration_s=5, band_hz=None)
SET_POOLINGS: list[Pooling] = ["attention", "mean", "mean_max"]
LEAD_POOLINGS: list[Pooling] = ["lead_mean", "lead_mean_max"]


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


def encode(signal: torch.Tensor, leads: tuple[str, ...], present: torch.Tensor | None) -> Latents:
    with torch.no_grad():
        return make_encoder()(signal, leads, present=present)


def test_each_pooling_is_what_its_name_says() -> None:
    tokens = torch.arange(2 * 2 * 3 * 1).reshape(2, 2, 3, 1).float()
    latents = Latents(tokens, torch.ones(2, 4), torch.ones(2, 2) / 2)
    expected = {
        "attention": [[1.0, 1, 1, 1], [1, 1, 1, 1]],
        "mean": [[3.0], [9.0]],  # of 1, 2 and 4, 5: the first token is CLS, and no patch
        "mean_max": [[3.0, 5.0], [9.0, 11.0]],
        "lead_mean": [[1.5, 4.5], [7.5, 10.5]],
        "lead_mean_max": [[1.5, 4.5, 2.0, 5.0], [7.5, 10.5, 8.0, 11.0]],
    }
    assert expected.keys() == set(get_args(Pooling))
    for pooling in get_args(Pooling):
        assert pool(latents, pooling, None).tolist() == expected[pooling]


@pytest.mark.parametrize("pooling", SET_POOLINGS)
def test_a_set_pooling_knows_no_order_of_leads(pooling: Pooling) -> None:
    signal, order = torch.randn(2, 12, 250), torch.randperm(12)
    leads = tuple(LEADS[i] for i in order)
    pooled = pool(encode(signal, LEADS, None), pooling, None)
    permuted = pool(encode(signal[:, order], leads, None), pooling, None)
    torch.testing.assert_close(permuted, pooled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", SET_POOLINGS)
def test_an_absent_lead_is_as_if_it_were_not_there(pooling: Pooling) -> None:
    signal = torch.randn(2, 3, 250)
    present = torch.tensor([[True, False, True]] * 2)
    pooled = pool(encode(signal, LEADS[:3], present), pooling, present)
    kept = pool(encode(signal[:, [0, 2]], ("I", "III"), None), pooling, None)
    torch.testing.assert_close(pooled, kept, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", LEAD_POOLINGS)
def test_an_absent_lead_is_zero_where_leads_are_concatenated(pooling: Pooling) -> None:
    signal = torch.randn(2, 3, 250)
    present = torch.tensor([[True, False, True]] * 2)
    pooled = pool(encode(signal, LEADS[:3], present), pooling, present).reshape(2, -1, 3, 16)
    assert (pooled[:, :, 1] == 0).all()
    kept = pool(encode(signal[:, [0, 2]], ("I", "III"), None), pooling, None)
    torch.testing.assert_close(pooled[:, :, [0, 2]].flatten(1), kept, atol=1e-5, rtol=1e-5)


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


def refuse(monkeypatch: pytest.MonkeyPatch, rows: list[int]) -> None:
    read = Corpus.sample

    def sample(self: Corpus, row: int) -> Sample:
        if row in rows:
            raise InputError("sample", value="damaged", expected="whole", remedy="Copy it again.")
        return read(self, row)

    monkeypatch.setattr(Corpus, "sample", sample)


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

"""Pooling: each as its name says, over what is present and recorded."""

from typing import get_args

import pytest
import torch

from lamae.ecg.leads import LEADS
from lamae.model.encoder import Encoder, Latents
from lamae.model.pooling import pool
from lamae.model.recorded import Recorded
from lamae.model.settings import EncoderSettings, Pooling

SET_POOLINGS: list[Pooling] = ["attention", "mean", "mean_max"]
LEAD_POOLINGS: list[Pooling] = ["lead_mean", "lead_mean_max"]


def make_encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderSettings(patch_size=50, width=16, depth=1, heads=2, latent_depth=1))


def encode(signal: torch.Tensor, leads: tuple[str, ...], present: torch.Tensor | None) -> Latents:
    with torch.no_grad():
        return make_encoder()(signal, leads, recorded=Recorded(present))


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


@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_padding_is_as_if_it_were_not_there(pooling: Pooling) -> None:
    signal, encoder = torch.randn(2, 3, 500), make_encoder()
    valid = torch.arange(10).expand(2, 10) < 6
    with torch.no_grad():
        padded = pool(encoder(signal, LEADS[:3], recorded=Recorded(valid=valid)), pooling, None)
        cut = pool(encoder(signal[..., :300], LEADS[:3]), pooling, None)
    torch.testing.assert_close(padded, cut, atol=1e-5, rtol=1e-5)

"""Heads: each is what its formula says, over what is present and recorded."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from finetune.networks.heads import AttentionHead, EncoderClassifier, LinearHead, pooled_width
from finetune.networks.outputs import Outputs
from finetune.training.linear_probe import fit_linear_probe
from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.model.encoder import Encoder, Latents
from lamae.model.pooling import pool
from lamae.model.recorded import Recorded
from lamae.model.settings import EncoderSettings, Pooling

WIDTH, PATCH = 16, 10
HEADS = ["attention", "linear"]


def make_encoder(**changes: Any) -> Encoder:
    torch.manual_seed(0)
    settings = EncoderSettings(patch_size=PATCH, width=WIDTH, depth=1, heads=2, latent_depth=1)
    return Encoder(settings.model_copy(update=changes)).eval()


def make_model(kind: str, leads: tuple[str, ...] = LEADS) -> EncoderClassifier:
    encoder = make_encoder()
    head: AttentionHead | LinearHead
    if kind == "attention":
        head = AttentionHead(WIDTH, heads=2, leads=leads, classes=3)
        assert head.lead_embedding is not None
        nn.init.normal_(head.lead_embedding)
    else:
        head = LinearHead(WIDTH, classes=3, pooling="attention")
    return EncoderClassifier(encoder, head, leads=leads).eval()


@pytest.fixture
def signal() -> torch.Tensor:
    """Three recordings of twelve leads."""
    return torch.randn(3, 12, 60, generator=torch.Generator().manual_seed(1))


def weights_of(outputs: Outputs) -> torch.Tensor:
    assert outputs.lead_weights is not None
    return outputs.lead_weights


@pytest.mark.parametrize("kind", HEADS)
def test_permuting_leads_with_their_names_changes_nothing(kind: str, signal: torch.Tensor) -> None:
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    straight, permuted = make_model(kind), make_model(kind, tuple(LEADS[i] for i in order))
    permuted.load_state_dict(straight.state_dict())
    with torch.no_grad():
        expected, got = straight(signal), permuted(signal[:, order])
    torch.testing.assert_close(got.logits, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights_of(got), weights_of(expected)[:, order])


def test_a_head_knows_leads_by_name_where_the_encoder_does_not(signal: torch.Tensor) -> None:
    model = make_model("attention")
    with torch.no_grad():
        straight, misnamed = model(signal), model(signal.flip(1))
    assert not torch.allclose(straight.logits, misnamed.logits, atol=1e-3)


@pytest.mark.parametrize("kind", HEADS)
def test_an_absent_lead_has_no_weight_and_is_as_if_it_were_not_there(
    kind: str, signal: torch.Tensor
) -> None:
    kept = [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]
    whole, part = make_model(kind), make_model(kind, tuple(LEADS[i] for i in kept))
    part.load_state_dict(whole.state_dict())
    present = torch.ones(3, 12, dtype=torch.bool)
    present[:, [2, 7]] = False
    noisy = signal.clone()
    noisy[:, [2, 7]] = 100.0
    with torch.no_grad():
        got, expected = whole(noisy, Recorded(present)), part(signal[:, kept])
    torch.testing.assert_close(got.logits, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights_of(got)[:, kept], weights_of(expected))
    assert (weights_of(got)[:, [2, 7]] == 0).all()
    torch.testing.assert_close(weights_of(got).sum(dim=1), torch.ones(3))


@pytest.mark.parametrize("kind", HEADS)
def test_padding_is_as_if_it_were_not_there(kind: str, signal: torch.Tensor) -> None:
    model, valid = make_model(kind), torch.arange(6).expand(3, 6) < 4
    noisy = signal.clone()
    noisy[..., 40:] = 100.0
    with torch.no_grad():
        padded, cut = model(noisy, Recorded(valid=valid)), model(signal[..., :40])
    torch.testing.assert_close(padded.logits, cut.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights_of(padded), weights_of(cut))


def test_absent_leads_and_padding_together_are_each_left_out(signal: torch.Tensor) -> None:
    whole, part = make_model("attention"), make_model("attention", LEADS[:6])
    valid, present = torch.arange(6).expand(3, 6) < 4, torch.arange(12).expand(3, 12) < 6
    with torch.no_grad():
        got = whole(signal, Recorded(present, valid))
        expected = part(signal[:, :6, :40])
    torch.testing.assert_close(got.logits, expected.logits, atol=1e-5, rtol=1e-5)


def test_attention_head_is_torchs_attention_of_one_query() -> None:
    torch.manual_seed(0)
    head = AttentionHead(WIDTH, heads=4, leads=("I", "V1"), classes=3).eval()
    oracle = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
    tokens = torch.randn(2, 2, 5, WIDTH)
    with torch.no_grad():
        for part in (head.key, head.value, head.project):
            nn.init.normal_(part.bias)
        eye, none = torch.eye(WIDTH), torch.zeros(WIDTH)  # the query is not projected
        oracle.in_proj_weight.copy_(torch.cat([eye, head.key.weight, head.value.weight]))
        oracle.in_proj_bias.copy_(torch.cat([none, head.key.bias, head.value.bias]))
        oracle.out_proj.load_state_dict(head.project.state_dict())
        assert head.lead_embedding is not None
        named = head.norm(tokens) + head.lead_embedding[[0, 6]][:, None]
        flat = named.flatten(1, 2)
        query = head.query.expand(2, 1, WIDTH)
        read, mass = oracle(query, flat, flat, average_attn_weights=True)
        vector = (query + read)[:, 0]
        expected = head.linear(vector + head.mlp(head.norm_query(vector)))
        got = head(Latents(tokens, torch.zeros(2, WIDTH), torch.zeros(2, 2)), None)
    torch.testing.assert_close(got.logits, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weights_of(got), mass[:, 0].reshape(2, 2, 5).sum(dim=2))


@pytest.mark.parametrize("multi_label", [True, False])
@pytest.mark.parametrize("pooling", get_args(Pooling))
def test_a_linear_head_that_starts_from_a_probe_scores_as_the_probe(
    pooling: Pooling, multi_label: bool
) -> None:
    encoder, signal = make_encoder(), torch.randn(60, 3, 40)
    numbers = np.arange(60) % 3
    with torch.no_grad():
        features = pool(encoder(signal, LEADS[:3]), pooling, None)
    probe = fit_linear_probe(
        features.numpy(),
        np.eye(3, dtype=bool)[numbers],
        [str(number) for number in range(60)],
        classes=["a", "b", "c"],
        multi_label=multi_label,
        generator=np.random.default_rng(0),
        l2_grid=(0.1,),
    )
    width = pooled_width(pooling, width=WIDTH, leads=3)
    assert width == features.shape[1]
    head = LinearHead(width, classes=3, pooling=pooling)
    head.start_from(weight=probe.weight, bias=probe.bias, mean=probe.mean, scale=probe.scale)
    with torch.no_grad():
        logits = EncoderClassifier(encoder, head, leads=LEADS[:3])(signal).logits
    scores = logits.sigmoid() if multi_label else logits.softmax(dim=1)
    np.testing.assert_allclose(scores.numpy(), probe.scores(features.numpy()), atol=1e-5)


def test_a_probe_of_other_features_is_refused() -> None:
    head = LinearHead(WIDTH, classes=2, pooling="mean")
    with pytest.raises(InputError, match=r"\(2, 4\) classes and features; expected \(2, 16\)"):
        head.start_from(
            weight=np.zeros((2, 4)), bias=np.zeros(2), mean=np.zeros(4), scale=np.ones(4)
        )


def test_a_linear_head_tells_weights_of_leads_only_where_they_are_its_own() -> None:
    latents = make_encoder()(torch.randn(2, 3, 40), LEADS[:3])
    assert LinearHead(WIDTH, classes=2, pooling="mean")(latents, None).lead_weights is None
    pooled = LinearHead(WIDTH, classes=2, pooling="attention")(latents, None)
    assert torch.equal(weights_of(pooled), latents.lead_weights)


@pytest.mark.parametrize("kind", HEADS)
def test_the_head_and_the_encoder_beneath_it_are_trained(kind: str, signal: torch.Tensor) -> None:
    model = make_model(kind).train()
    assert isinstance(model.encoder, Encoder)
    for parameter in model.encoder.latent.parameters():  # no longer the identity
        nn.init.normal_(parameter, std=0.1)
    model(signal).logits.square().sum().backward()
    idle = {n for n, p in model.named_parameters() if p.grad is None or (p.grad == 0).all()}
    excused = {name for name in idle if name.endswith("key.bias")}  # softmax takes it away
    if kind != "linear":  # these heads read tokens, not the encoder's own pooling
        excused |= {name for name in idle if name.startswith("encoder.pool.")}
    assert not idle - excused


@pytest.mark.parametrize("kind", HEADS)
def test_bf16_does_not_round_logits(kind: str, signal: torch.Tensor) -> None:
    model = make_model(kind)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = model(signal).logits
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())

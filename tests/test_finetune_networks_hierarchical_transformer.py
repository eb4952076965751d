"""The hierarchical transformer: the released counts, what crosses stages, leads and padding."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from pydantic import ValidationError
from torch import nn

from finetune.classifiers.folder import load_classifier
from finetune.networks.channel_gate import ChannelGate
from finetune.networks.differential_attention import SoftmaxAttention
from finetune.networks.hierarchical_transformer import HierarchicalTransformer, PostNormLayer
from finetune.networks.settings import HierarchicalTransformerSettings
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.errors import InputError
from lamae.model.recorded import Recorded
from lamae.runs.tracking import SUMMARY

MakeProbe = Callable[..., FinetuneSettings]
TINY = {"width": 12, "depth": 6, "heads": 2, "hidden": 16}
HAND_CRAFTED = 22
"""Features, age and sex, that the released classifier reads beside the signal."""
ONE = (("groups", "one"), ("stages", 2), ("cls", "mean"), ("gate", True), ("attention", "softmax"))
ALL = {"gate": True, "cls": "mean", "stages": 1, "attention": "softmax"}
SWITCHES: tuple[dict[str, Any], ...] = ({}, {"stages": 1}, *({k: v} for k, v in ONE), ALL)


def make_model(
    *, leads: tuple[str, ...] = LEADS[:3], samples: int = 1000, classes: int = 4, **changes: Any
) -> HierarchicalTransformer:
    torch.manual_seed(0)
    settings = HierarchicalTransformerSettings.model_validate(TINY | changes)
    model = HierarchicalTransformer(settings, leads=leads, samples=samples, classes=classes)
    for module in model.modules():  # statistics and biases that would betray a slip
        if isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
            nn.init.normal_(module.weight, mean=1.0, std=0.2)
            nn.init.normal_(module.bias, std=0.5)
    return model.eval()


def released(*, classes: int = 27, **changes: Any) -> HierarchicalTransformer:
    settings = HierarchicalTransformerSettings.model_validate(changes)
    with torch.device("meta"):
        return HierarchicalTransformer(settings, leads=LEADS, samples=7500, classes=classes)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def inputs_of_layers(model: HierarchicalTransformer) -> tuple[list[torch.Tensor], ...]:
    """Return lists that fill with what each layer is given and gives."""
    given: list[torch.Tensor] = []
    gives: list[torch.Tensor] = []
    for layer in model.layers:
        layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        layer.register_forward_hook(lambda _, __, out: gives.append(out))
    return given, gives


@pytest.mark.parametrize(
    ("changes", "total"),
    [({}, 18_517_693), ({"width": 264, "attention": "softmax"}, 16_659_253)],
)
def test_network_has_the_released_parameters(changes: dict[str, Any], total: int) -> None:
    """By hand for d: 18.52 M with d = 288; with d = 264 16.66 M, which two softmaxes cannot have.

    Convolutions 1,848 + 40,656 + 220 d + 3 * 10 d^2 / 12 and their norms; a layer 4 d^2 of
    attention, 4 d/16 + d/8 of differential attention, 4,097 d + 2,048 of MLP, 4 d of norms; CLS d;
    classifier 64 d + 64 and 27 (64 + 22) + 27.
    """
    d, differential = changes.get("width", 288), "attention" not in changes
    convolutions = 1848 + 40656 + 220 * d + 30 * d * d // 12 + 2 * (132 + 264 + 4 * d)
    layer = 4 * d * d + (3 * d // 8 if differential else 0) + 4097 * d + 2048 + 4 * d
    classifier = 64 * d + 64 + 27 * (64 + HAND_CRAFTED) + 27
    assert convolutions + 12 * layer + d + classifier == total
    assert parameters(released(**changes)) == total - 27 * HAND_CRAFTED


def test_a_layer_has_the_parameters_of_the_table() -> None:
    layer = PostNormLayer(HierarchicalTransformerSettings(), layer=0)
    assert parameters(layer) == 1_515_020
    assert parameters(layer.attention) == 4 * 288**2 + 4 * 18 + 36


def test_all_numbers_of_stages_and_summaries_have_the_same_parameters() -> None:
    counts = {
        parameters(released(stages=stages, cls=cls))
        for stages in (1, 2, 3)
        for cls in ("carried", "mean")
    }
    assert counts == {18_517_099}


@pytest.mark.parametrize(("stages", "layers"), [(3, [4, 4, 4]), (2, [6, 6]), (1, [12])])
def test_stages_divide_the_layers_evenly_and_read_the_coarsest_scales(
    stages: int, layers: list[int]
) -> None:
    model = make_model(samples=7500, stages=stages, depth=12)
    given, _ = inputs_of_layers(model)
    with torch.no_grad():
        model(torch.randn(1, 3, 7500))
    tokens = [1 + scale for scale in (410, 201, 183)[-stages:]]
    expected = [count for count, depth in zip(tokens, layers, strict=True) for _ in range(depth)]
    assert [inputs.shape[1] for inputs in given] == expected


@pytest.mark.parametrize("cls", ["carried", "mean"])
def test_one_token_crosses_stages_and_positions_are_added_at_each(cls: str) -> None:
    model = make_model(cls=cls)
    given, gives = inputs_of_layers(model)
    signal = torch.randn(2, 3, 1000)
    with torch.no_grad():
        model(signal)
        scales = model.convolutions(signal, None)
    summary = model.cls.expand(2, -1, -1)
    for stage, scale in enumerate(scales):
        tokens = torch.cat([summary, scale.features.transpose(1, 2)], dim=1)
        positions = torch.zeros(tokens.shape[1:])
        for position in range(tokens.shape[1]):
            for channel in range(0, 12, 2):
                angle = position / 10_000 ** (channel / 12)
                positions[position, channel] = math.sin(angle)
                positions[position, channel + 1] = math.cos(angle)
        torch.testing.assert_close(given[2 * stage], tokens + positions, atol=1e-4, rtol=1e-4)
        last = gives[2 * stage + 1]
        summary = last[:, :1] if cls == "carried" else last.mean(dim=1, keepdim=True)


def test_a_layer_with_one_softmax_is_torchs_post_norm_layer() -> None:
    torch.manual_seed(0)
    settings = HierarchicalTransformerSettings(width=12, heads=2, hidden=16, attention="softmax")
    ours, theirs = PostNormLayer(settings, layer=0), nn.TransformerEncoderLayer(12, 2, 16)
    attention = ours.attention
    assert isinstance(attention, SoftmaxAttention)
    pairs = {
        "self_attn.out_proj.weight": attention.project.weight,
        "self_attn.in_proj_weight": torch.cat(
            [layer.weight for layer in (attention.query, attention.key, attention.value)]
        ),
        "linear1.weight": ours.get_parameter("mlp.0.weight"),
        "linear1.bias": ours.get_parameter("mlp.0.bias"),
        "linear2.weight": ours.get_parameter("mlp.3.weight"),
        "linear2.bias": ours.get_parameter("mlp.3.bias"),
    }
    with torch.no_grad():
        for name, weight in pairs.items():
            theirs.get_parameter(name).copy_(weight)
        for name in ("self_attn.in_proj_bias", "self_attn.out_proj.bias"):
            theirs.get_parameter(name).zero_()
    tokens = torch.randn(7, 3, 12)
    found = ours.eval()(tokens.transpose(0, 1), None).transpose(0, 1)
    torch.testing.assert_close(found, theirs.eval()(tokens))


@pytest.mark.parametrize("groups", ["leads", "one"])
def test_leads_are_mixed_before_the_gate_so_its_channels_are_no_leads(groups: str) -> None:
    model = make_model(groups=groups, gate=True, width=48)
    weighed: list[torch.Tensor] = []
    model.classify.register_forward_hook(lambda _, inputs, __: weighed.append(inputs[0]))
    signal = torch.randn(1, 3, 1000, requires_grad=True)
    model(signal)
    before = model.convolutions(signal, None)[-1].features.transpose(1, 2)
    (after,) = weighed

    def leads_behind(tokens: torch.Tensor, lead: int) -> list[bool]:
        """Return on which leads the channels of one lead hang."""
        own = tokens[:, :, 16 * lead : 16 * (lead + 1)].square().sum()
        (gradient,) = torch.autograd.grad(own, signal, retain_graph=True)
        return (gradient[0].abs().sum(dim=1) > 1e-9).tolist()

    for lead in range(3):
        alone = [number == lead for number in range(3)]
        assert leads_behind(before, lead) == (alone if groups == "leads" else [True] * 3)
        assert leads_behind(after, lead) == [True] * 3
    with torch.no_grad():
        assert model(signal).lead_weights is None


@pytest.mark.parametrize("changes", SWITCHES, ids=str)
def test_what_stands_behind_a_recording_does_not_matter(changes: dict[str, Any]) -> None:
    model = make_model(samples=2000, **changes)
    signal, recorded = torch.randn(2, 3, 2000), torch.tensor([2000, 1203])
    noisy = signal.clone()
    noisy[1, :, 1203:] = torch.nan
    with torch.no_grad():
        expected = model(signal, Recorded(samples=recorded)).logits
        torch.testing.assert_close(model(noisy, Recorded(samples=recorded)).logits, expected)
        assert expected.shape == (2, 4)
        if not changes.get("gate"):
            cut = model(signal[1:, :, :1203]).logits
            torch.testing.assert_close(expected[1:], cut, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", SWITCHES, ids=str)
def test_every_switch_changes_the_logits_and_every_parameter_is_trained(
    changes: dict[str, Any],
) -> None:
    model, signal = make_model(**changes), torch.randn(3, 3, 1000)
    with torch.no_grad():
        plain = make_model()(signal).logits
        assert torch.allclose(model(signal).logits, plain) == (not changes)
    model.train()(
        signal, Recorded(samples=torch.tensor([1000, 960, 1000]))
    ).logits.square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or (p.grad == 0).all()]
    assert idle == [f"convolutions.norms.5.{name}" for name in ("weight", "bias")]  # as released


def test_as_released_the_length_of_a_recording_shows() -> None:
    model, signal = make_model(padding="as_released", samples=2000), torch.randn(1, 3, 1203)
    padded = torch.nn.functional.pad(signal, (0, 797))
    with torch.no_grad():
        told, untold = (
            model(padded, Recorded(samples=torch.tensor([1203]))).logits,
            model(padded).logits,
        )
        assert torch.equal(told, untold)
        assert not torch.allclose(told, model(signal).logits, atol=1e-3)


def test_an_absent_lead_is_read_as_zeros() -> None:
    model, signal = make_model(), torch.randn(2, 3, 1000)
    present = torch.tensor([[True, True, True], [True, False, True]])
    zeros = signal.clone()
    zeros[1, 1] = 0.0
    with torch.no_grad():
        torch.testing.assert_close(model(signal, Recorded(present)).logits, model(zeros).logits)


def test_initial_weights_are_glorots_cls_included_and_the_gate_has_no_bias() -> None:
    model: Any = make_model(gate=True)
    for weight, limit in (
        (model.cls, (6 / (12 + 12)) ** 0.5),
        (model.convolutions.convolve[2].weight, (6 / (10 * 22 + 10 * 12)) ** 0.5),
        (model.layers[0].attention.query.weight, (6 / (12 + 12)) ** 0.5),
    ):
        assert 0.8 * limit < weight.abs().max() <= limit
    assert isinstance(model.classify, ChannelGate)
    for layer in (model.classify.content, model.classify.opening, model.classify.score):
        assert (layer.bias == 0).all()


@pytest.mark.parametrize("leads", [INDEPENDENT_LEADS, ("I",), LEADS])
def test_any_number_of_leads_that_divides_the_width_is_read(leads: tuple[str, ...]) -> None:
    model = make_model(leads=leads, width=48)
    with torch.no_grad():
        assert model(torch.randn(2, len(leads), 1000)).logits.shape == (2, 4)


def test_what_cannot_be_built_or_read_is_refused() -> None:
    with pytest.raises(InputError, match="width: 12; expected a multiple of the 8 leads, I, II"):
        make_model(leads=INDEPENDENT_LEADS)
    assert make_model(leads=INDEPENDENT_LEADS, groups="one")
    with pytest.raises(InputError, match="939 samples; expected at least 940"):
        make_model(samples=939)
    with pytest.raises(InputError, match="2 rows; expected one for each of I, II, III"):
        make_model()(torch.randn(1, 2, 1000))
    with pytest.raises(ValidationError, match="multiple of 16, for differential attention"):
        released(width=264)
    with pytest.raises(ValidationError, match="less than or equal to 3"):
        released(stages=5)
    with pytest.raises(ValidationError, match="depth 10 must be a multiple of stages, 3"):
        released(depth=10)


@pytest.mark.slow
def test_the_mode_trains_needs_no_encoder_and_comes_back(
    make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path
) -> None:
    quick = {"batch_size": 16, "micro_batch_size": 16, "hold_out": 0.25}
    settings = make_probe(
        mode="hierarchical_transformer",
        encoder=None,
        preprocess={"leads": 8, "sampling_rate": 100, "duration_s": 10, "band_hz": None},
        hierarchical_transformer={"width": 16, "depth": 3, "heads": 2, "hidden": 16},
        training={"epochs": 2, "lr": 3e-3, **quick},
        supervised={"epochs": 1, **quick},
        baselines=("random", "supervised"),
    )
    finetune(settings)
    summary = json.loads((tmp_path / "probe" / SUMMARY).read_text())
    assert list(summary["candidates"]) == ["hierarchical_transformer", "supervised"]
    loaded = load_classifier(tmp_path / "probe").classifier
    assert loaded.architecture.hierarchical_transformer == settings.hierarchical_transformer
    with torch.no_grad():
        assert np.isfinite(loaded.model(torch.randn(1, 8, 1000)).logits.numpy()).all()

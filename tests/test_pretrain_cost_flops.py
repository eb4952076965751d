"""Operations of a step: those that torch counts while it takes one."""

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lamae.ecg.leads import LEADS
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import draw_mask
from lamae.model.settings import AutoencoderSettings, MaskKind
from pretrain.cost.flops import step_flops, visible_patches

P, N, BATCH = 20, 16, 3
TINY: dict[str, Any] = {
    "encoder": {"patch_size": P, "width": 32, "depth": 2, "heads": 2, "latent_depth": 1},
    "decoder": {"width": 16, "depth": 2, "heads": 2},
}


def make_settings(**changes: Any) -> AutoencoderSettings:
    values = {part: {**TINY[part], **changes.pop(part, {})} for part in TINY} | changes
    return AutoencoderSettings.model_validate(values)


def count(settings: AutoencoderSettings, kind: MaskKind) -> int:
    """Count a step with attention as plain matrix products: fused kernels compute some twice."""
    torch.manual_seed(0)
    model = LAMAE(settings)
    mask = draw_mask(
        kind,
        batch=BATCH,
        leads=12,
        patches=N,
        mask_ratio=settings.mask_ratio,
        generator=torch.Generator().manual_seed(0),
    )
    signal = torch.randn(BATCH, 12, N * P)
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        model(signal, LEADS, mask=mask).loss.backward()
    total: int = counter.get_total_flops()
    return total


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("random", {}),
        ("tube", {"mask_ratio": 0.5}),
        ("lead", {"masking": {"random": 0, "lead": 1}}),
        ("random", {"encoder": {"method": "independent"}}),
        ("random", {"encoder": {"method": "alignment"}}),
        ("random", {"encoder": {"method": "joint"}}),
        ("random", {"encoder": {"stem": "conv"}}),
        ("random", {"encoder": {"latent_depth": 0, "depth": 4}}),
        ("random", {"decoder": {"attends": "all"}}),
        ("random", {"decoder": {"width": 64, "depth": 1}}),
    ],
)
def test_operations_are_those_that_torch_counts(kind: MaskKind, changes: dict[str, Any]) -> None:
    settings = make_settings(**changes)
    found = step_flops(settings, batch=BATCH, leads=12, patches=N)
    assert found == pytest.approx(count(settings, kind), rel=0.001)


def test_a_mixture_of_masks_costs_the_mean_of_its_kinds() -> None:
    def cost(**masking: float) -> float:
        weights = {"random": 0.0, **masking}
        return step_flops(make_settings(masking=weights), batch=1, leads=12, patches=N)

    mixture = cost(random=3.0, lead=1.0)
    assert mixture == pytest.approx(0.75 * cost(random=1.0) + 0.25 * cost(lead=1.0))


def test_the_patches_seen_are_those_of_the_masks() -> None:
    assert visible_patches(make_settings(), leads=12, patches=N) == 12 * 4
    lead = make_settings(masking={"random": 0, "lead": 1})
    assert visible_patches(lead, leads=12, patches=N) == 3 * N
    half = make_settings(masking={"random": 1, "lead": 1}, mask_ratio=0.5)
    assert visible_patches(half, leads=12, patches=N) == pytest.approx(12 * N / 2)

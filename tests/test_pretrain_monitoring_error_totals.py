"""Errors of a validation: sums over batches are those of the whole, by names for the log."""

import pytest
import torch
from accelerate import Accelerator

from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import draw_mask
from lamae.model.settings import AutoencoderSettings
from pretrain.monitoring.error_totals import NAMES, ErrorTotals

P, N = 10, 20


def make_model() -> LAMAE:
    encoder = {"patch_size": P, "width": 16, "depth": 1, "heads": 2}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    values = {"encoder": encoder, "decoder": decoder, "norm_target": False}
    torch.manual_seed(0)
    return LAMAE(AutoencoderSettings.model_validate(values)).eval()


def scalars(
    accelerator: Accelerator, leads: tuple[str, ...], *, parts: list[int], kind: str = "random"
) -> tuple[dict[str, float], float]:
    """Return the scalars of nine recordings in parts, and the error of the whole."""
    model = make_model()
    generator = torch.Generator().manual_seed(0)
    shape = {"batch": 9, "leads": len(leads), "patches": N, "mask_ratio": 0.75}
    mask = draw_mask(kind, generator=generator, **shape)  # type: ignore[arg-type]
    signal = torch.randn(9, len(leads), N * P, generator=generator)
    totals = ErrorTotals(leads, accelerator)
    with torch.no_grad():
        for rows in torch.arange(9).split(parts):
            part = mask.take(rows)
            found = model(signal[rows], leads, visible=part.visible, seen=part.seen)
            totals.add(model, found, signal[rows])
        whole = model(signal, leads, visible=mask.visible, seen=mask.seen)
    return totals.scalars(), whole.error.item()


def test_any_batches_give_the_same_errors(accelerator: Accelerator) -> None:
    found, _ = scalars(accelerator, LEADS, parts=[4, 4, 1])
    assert found.keys() == set(NAMES.values())
    assert found == pytest.approx(scalars(accelerator, LEADS, parts=[9])[0], rel=1e-5)


def test_limb_and_precordial_errors_make_up_the_validation_loss(accelerator: Accelerator) -> None:
    found, error = scalars(accelerator, LEADS, parts=[9])
    mean = (found["val/error_limb"] + found["val/error_precordial"]) / 2  # as many of each
    assert mean == pytest.approx(error, rel=1e-5)


def test_where_algebra_has_nothing_nothing_is_logged_of_it(accelerator: Accelerator) -> None:
    independent, _ = scalars(accelerator, INDEPENDENT_LEADS, parts=[9])
    assert independent.keys() == {"val/error_limb", "val/error_precordial"}
    tubes, _ = scalars(accelerator, LEADS, parts=[9], kind="tube")
    assert tubes["val/limb_determined"] == 0
    assert "val/error_algebra" not in tubes

"""Errors by group of leads: counted by hand, and expected from the binomial law."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.model.autoencoder import LAMAE, Reconstruction
from lamae.model.masking import Mask, draw_mask
from lamae.model.recorded import Recorded
from lamae.model.settings import AutoencoderSettings
from lamae.readers.wfdb.record_files import read_wfdb
from pretrain.monitoring.lead_errors import DETERMINED, GROUPS, LeadErrors, error_report, error_sums

P, N = 10, 50


def make_model(*, norm_target: bool = True) -> LAMAE:
    encoder = {"patch_size": P, "width": 16, "depth": 1, "heads": 2}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    torch.manual_seed(0)
    values = {"encoder": encoder, "decoder": decoder, "norm_target": norm_target}
    return LAMAE(AutoencoderSettings.model_validate(values)).eval()


def reconstruct(
    model: LAMAE, signal: torch.Tensor, leads: tuple[str, ...], mask: Mask
) -> Reconstruction:
    with torch.no_grad():
        return model(signal, leads, mask=mask)


def make_signal(batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    right, left, foot = torch.randn(3, batch, N * P, generator=generator)
    centre = (right + left + foot) / 3
    limb = [left - right, foot - right, foot - left]
    limb += [1.5 * (potential - centre) for potential in (right, left, foot)]
    chest = list(torch.randn(6, batch, N * P, generator=generator))
    return torch.stack(limb + chest, dim=1)


def make_mask(kind: str, batch: int, leads: int = 12) -> Mask:
    shape = {"batch": batch, "leads": leads, "patches": N, "mask_ratio": 0.75}
    return draw_mask(kind, generator=torch.Generator().manual_seed(1), **shape)  # type: ignore[arg-type]


def test_limb_and_precordial_errors_make_up_the_error_of_the_model() -> None:
    model, signal = make_model(), make_signal(4)
    found = reconstruct(model, signal, LEADS, make_mask("random", 4))
    sums = dict(zip(GROUPS, error_sums(model, found, signal, LEADS), strict=True))
    total, count = sums["val/error_limb"] + sums["val/error_precordial"]
    assert count == found.hidden.sum()
    torch.testing.assert_close(total / count, found.error)
    torch.testing.assert_close(
        sums["val/error_limb"],
        sums["val/error_limb_determined"] + sums["val/error_limb_undetermined"],
    )


@pytest.mark.parametrize("norm_target", [False, True])
def test_under_random_masks_algebra_has_the_share_that_the_binomial_law_says(
    norm_target: bool,
) -> None:
    model, signal = make_model(norm_target=norm_target), make_signal(200)
    mask = make_mask("random", 200)
    found = reconstruct(model, signal, LEADS, mask)
    report = error_report(error_sums(model, found, signal, LEADS), LEADS)
    seen = mask.visible.shape[2] / N
    others = sum(math.comb(5, k) * seen**k * (1 - seen) ** (5 - k) for k in range(2, 6))
    assert report[DETERMINED] == pytest.approx(others, abs=0.01)
    assert report["val/error_algebra"] < 1e-6
    assert report["val/error_limb_determined"] > 0.1


@pytest.mark.parametrize("kind", ["tube", "lead"])
def test_tubes_leave_algebra_nothing_and_whole_leads_all_or_nothing(kind: str) -> None:
    model, signal = make_model(), make_signal(20)
    mask = make_mask(kind, 20)
    found = reconstruct(model, signal, LEADS, mask)
    report = error_report(error_sums(model, found, signal, LEADS), LEADS)
    if mask.seen is None:
        assert report[DETERMINED] == 0
        assert "val/error_algebra" not in report
    else:
        limbs = (mask.seen < 6).sum(dim=1)
        hidden = 6 - limbs
        expected = (hidden * (limbs >= 2)).sum() / hidden.sum()
        assert report[DETERMINED] == pytest.approx(expected.item())


def test_with_the_eight_independent_leads_nothing_is_said_of_algebra() -> None:
    model, signal = make_model(), make_signal(4)[:, [0, 1, *range(6, 12)]]
    found = reconstruct(model, signal, INDEPENDENT_LEADS, make_mask("random", 4, leads=8))
    report = error_report(error_sums(model, found, signal, INDEPENDENT_LEADS), INDEPENDENT_LEADS)
    assert report.keys() == {"val/error_limb", "val/error_precordial"}


def test_absent_leads_and_padding_are_in_no_group() -> None:
    model, signal = make_model(), make_signal(4)
    found = reconstruct(model, signal, LEADS, make_mask("random", 4))
    present = torch.ones(4, 12, dtype=torch.bool)
    present[:, 1:6] = False
    valid = torch.arange(N).expand(4, N) < 30
    sums = error_sums(model, found, signal, LEADS, Recorded(present, valid))
    counts = dict(zip(GROUPS, sums[:, 1].tolist(), strict=True))
    assert counts["val/error_limb"] == found.hidden[:, 0, :30].sum()
    assert counts["val/error_precordial"] == found.hidden[:, 6:, :30].sum()
    assert counts["val/error_limb_determined"] == 0


def test_sums_of_batches_add_up() -> None:
    model, signal = make_model(), make_signal(6)
    mask = make_mask("random", 6)
    whole = error_sums(model, reconstruct(model, signal, LEADS, mask), signal, LEADS)
    parts = [
        error_sums(model, reconstruct(model, signal[r], LEADS, mask.take(r)), signal[r], LEADS)
        for r in (torch.arange(2), torch.arange(2, 6))
    ]
    torch.testing.assert_close(parts[0] + parts[1], whole)


def scalars(
    accelerator: Accelerator, leads: tuple[str, ...], *, parts: list[int], kind: str = "random"
) -> tuple[dict[str, float], float]:
    """Return the scalars of nine recordings in parts, and the error of the whole."""
    model = make_model(norm_target=False)
    mask = make_mask(kind, 9, leads=len(leads))
    signal = torch.randn(9, len(leads), N * P, generator=torch.Generator().manual_seed(0))
    errors = LeadErrors(leads, accelerator)
    with torch.no_grad():
        for rows in torch.arange(9).split(parts):
            part = mask.take(rows)
            found = model(signal[rows], leads, mask=part)
            errors.add(model, found, signal[rows])
        whole = model(signal, leads, mask=mask)
    return errors.scalars(), whole.error.item()


def test_any_batches_give_the_same_errors(accelerator: Accelerator) -> None:
    found, _ = scalars(accelerator, LEADS, parts=[4, 4, 1])
    assert found.keys() == {*GROUPS, DETERMINED}
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


def test_algebra_gives_the_hidden_limb_leads_of_real_recordings_to_a_thousandth_of_their_variance(
    shared_data: Path,
) -> None:
    headers = sorted((shared_data / "challenge2021").rglob("*.hea"))[:24]
    preprocessor = Preprocessor(duration_s=10)
    prepared = [preprocessor(read_wfdb(header)) for header in headers]
    signal = torch.from_numpy(np.stack([one.signal for one in prepared]))
    encoder = {"patch_size": 50, "width": 16, "depth": 1, "heads": 2}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    settings = {"encoder": encoder, "decoder": decoder, "norm_target": False}
    model = LAMAE(AutoencoderSettings.model_validate(settings)).eval()
    found = reconstruct(model, signal, LEADS, make_mask("random", len(headers)))
    report = error_report(error_sums(model, found, signal, LEADS), LEADS)
    assert report[DETERMINED] == pytest.approx(0.346, abs=0.03)
    variance = signal[:, :6].square().mean().item()
    assert report["val/error_algebra"] < 0.001 * variance

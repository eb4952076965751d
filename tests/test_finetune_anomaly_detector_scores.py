"""Scores of windows by their definitions, masks that hide every patch, and the latent distance."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ledoit_wolf

from finetune.anomaly.detector.detectors import Detector, LatentNormals, recorded_samples
from finetune.anomaly.detector.latent_distance import fit_normals, shrunken_covariance
from finetune.anomaly.detector.masked_error import complementary_masks, masked_squares
from finetune.anomaly.detector.scores import vae_deviation
from finetune.anomaly.networks.vae import VaeOutput
from finetune.anomaly.settings import SCORES, Architecture, VaeSettings
from lamae.batches.dataset import Batch
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask, hidden_patches
from lamae.model.recorded import WHOLE, Recorded
from lamae.model.settings import AutoencoderSettings

LEADS = ("I", "II", "V1")
TINY: dict[str, Any] = {
    "encoder": {"patch_size": 10, "width": 16, "depth": 1, "heads": 2, "latent_depth": 1},
    "decoder": {"width": 16, "depth": 1, "heads": 2},
}


def made(seed: int, *, attention: bool = True) -> tuple[torch.Tensor, VaeOutput]:
    draws = torch.Generator().manual_seed(seed)
    signal, mean, spread = (torch.randn(2, 3, 20, generator=draws) for _ in range(3))
    latent = [torch.randn(2, 4, 5, generator=draws) for _ in range(2)]
    shares = torch.rand(2, 20, generator=draws).softmax(dim=1) if attention else None
    return signal, VaeOutput(mean, spread, latent[0], latent[1], shares, None)


def test_scores_are_those_of_the_formulas() -> None:
    signal, found = made(0)
    counted = torch.ones(signal.shape, dtype=torch.bool)
    scores = vae_deviation(signal, found, counted, SCORES["vae_bilstm"]).scores.numpy()
    x, m, v = (value.numpy().astype(float) for value in (signal, found.mean, found.log_variance))
    mu, lv = found.latent_mean.numpy(), found.latent_log_variance.numpy()
    assert found.attention is not None
    alpha = found.attention.numpy()
    kl = (-0.5 * (1 + lv - mu**2 - np.exp(lv))).sum(axis=(1, 2))
    squares = (x - m) ** 2
    released = 0.4 * (squares / (np.exp(v) + 1e-6)).sum((1, 2)) + 0.6 * v.sum((1, 2)) + 0.6 * kl
    nll = 0.5 * (np.log(2 * np.pi) + v + squares / np.exp(v))
    weighted = (alpha * squares.sum(axis=1)).sum(axis=1) + kl
    expected = [squares.mean((1, 2)), nll.mean((1, 2)), released, weighted]
    assert scores == pytest.approx(np.stack(expected, axis=1), rel=1e-4)


def test_what_was_not_recorded_does_not_count() -> None:
    signal, found = made(1)
    counted = torch.ones(signal.shape, dtype=torch.bool)
    counted[:, 2], counted[:, :, 15:] = False, False
    other = signal.masked_fill(~counted, 9.0)
    names = SCORES["vae_bilstm"]
    first, second = (vae_deviation(each, found, counted, names) for each in (signal, other))
    assert torch.equal(first.scores, second.scores)
    assert not first.samples[~counted].any()


def test_scores_do_not_depend_on_how_much_was_recorded_of_what_is_alike_everywhere() -> None:
    signal, found = made(2)
    alike = found._replace(
        mean=signal - 0.5,
        log_variance=torch.full_like(signal, 0.3),
        attention=torch.full((2, 20), 1 / 20),
    )
    whole = torch.ones(signal.shape, dtype=torch.bool)
    part = whole.clone()
    part[:, 2], part[:, :, 15:] = False, False
    names = SCORES["vae_bilstm"]
    first, second = (vae_deviation(signal, alike, each, names).scores for each in (whole, part))
    assert torch.allclose(first, second, rtol=1e-5)


def test_an_absent_lead_and_padding_are_not_recorded() -> None:
    present = torch.tensor([[True, False, True], [True, True, True]])
    batch = Batch(torch.randn(2, 3, 20), present, ("a", "b"), torch.tensor([20, 12]))
    counted = recorded_samples(batch)
    assert counted.sum(dim=(1, 2)).tolist() == [40, 36]
    assert not counted[0, 1].any() and not counted[1, :, 12:].any()


@pytest.mark.parametrize("masks", [2, 3, 4, 7])
def test_each_patch_is_hidden_by_all_masks_but_one(masks: int) -> None:
    visible = complementary_masks(5, 20, masks=masks)
    hidden = sum(hidden_patches(Mask(each[None]), leads=5, patches=20).long() for each in visible)
    assert isinstance(hidden, torch.Tensor) and (hidden == masks - 1).all()


def autoencoder() -> LAMAE:
    torch.manual_seed(0)
    return LAMAE(AutoencoderSettings.model_validate(TINY)).eval()


def test_masked_error_is_the_mean_of_what_the_autoencoder_misses_mask_by_mask() -> None:
    model, signal = autoencoder(), torch.randn(2, 3, 80)
    masks = complementary_masks(3, 8, masks=4)
    with torch.no_grad():
        squares, counted = masked_squares(model, signal, LEADS, masks=masks, recorded=WHOLE)
        losses = []
        for mask in masks:
            losses.append(model(signal, LEADS, mask=Mask(mask.expand(2, -1, -1))).error)
    assert counted.all()
    assert squares.mean().item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_padding_and_absent_leads_have_no_masked_error() -> None:
    model, signal = autoencoder(), torch.randn(2, 3, 80)
    present = torch.tensor([[True, True, False], [True, True, True]])
    valid = torch.ones(2, 8, dtype=torch.bool)
    valid[1, 5:] = False
    with torch.no_grad():
        squares, counted = masked_squares(
            model,
            signal,
            LEADS,
            masks=complementary_masks(3, 8, masks=2),
            recorded=Recorded(present, valid),
        )
    assert counted.sum(dim=(1, 2)).tolist() == [16, 15]
    assert not squares[~counted].any() and (squares[counted] > 0).all()


@pytest.mark.parametrize("count", [20, 200])
def test_the_covariance_is_that_of_ledoit_and_wolf_in_scikit_learn(count: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(count, 8)) @ np.diag(np.arange(1.0, 9.0))
    expected, share = ledoit_wolf(vectors)
    found = shrunken_covariance(vectors)
    assert found.covariance == pytest.approx(expected)
    assert found.share == pytest.approx(share)


def test_the_latent_distance_is_the_mahalanobis_distance_of_scipy() -> None:
    generator = np.random.default_rng(1)
    normals, others = generator.normal(size=(60, 6)), generator.normal(size=(5, 6)) * 3
    module = LatentNormals(6)
    module.learn(fit_normals(normals))
    found = module(torch.from_numpy(others).float()).numpy()
    precision = np.linalg.inv(ledoit_wolf(normals)[0])
    centre = normals.mean(axis=0)
    assert found == pytest.approx([mahalanobis(x, centre, precision) for x in others], rel=1e-4)


def test_embeddings_that_do_not_vary_are_refused() -> None:
    with pytest.raises(InputError, match="without variation"):
        fit_normals(np.ones((10, 3)))


@pytest.mark.parametrize(
    ("kind", "vae", "names"),
    [
        ("cae", {}, ("mse",)),
        ("vae_bilstm", {"sequence_attention": True}, SCORES["vae_bilstm"]),
        ("vae_bilstm", {"sequence_attention": False}, ("mse", "nll", "released")),
        ("vae_bilstm", {"bottleneck": 5}, SCORES["vae_bilstm"]),
        ("lamae", {}, ("masked_error", "latent_distance")),
    ],
)
def test_a_window_has_the_same_scores_in_any_batch(
    kind: str, vae: dict[str, Any], names: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    preprocess = Preprocessor(leads=LEADS, sampling_rate=50, duration_s=2.0, band_hz=None)
    values = {"kind": kind, "preprocess": preprocess}
    values["vae"] = VaeSettings.model_validate({"hidden": (8, 4), "latent": 8} | vae)
    values["autoencoder"] = AutoencoderSettings.model_validate(TINY) if kind == "lamae" else None
    detector = Detector(Architecture.model_validate(values)).eval()
    assert detector.architecture.scores == names
    signal = torch.randn(3, 3, 100)
    with torch.no_grad():
        together = detector(Batch(signal, None, ("a", "b", "c")))
        alone = detector(Batch(signal[1:2], None, ("b",)))
    assert together.scores.shape == (3, len(names)) and together.samples.shape == signal.shape
    assert torch.allclose(together.scores[1], alone.scores[0], rtol=1e-4, atol=1e-4)

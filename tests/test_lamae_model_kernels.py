"""Fixed kernels: MiniRocket's, and shares above levels as their definition says."""

import numpy as np
import pytest
import torch

from lamae.model.kernels import Kernels, over_windows
from lamae.model.settings import ALL_KERNELS, KernelSettings

SETTINGS = KernelSettings(count=5, dilations=(1, 4), quantiles=(0.3, 0.8))


def made(settings: KernelSettings = SETTINGS) -> tuple[Kernels, torch.Tensor]:
    """Return kernels with levels, and the recordings that set them."""
    signal = torch.randn(3, 2, 60, generator=torch.Generator().manual_seed(0))
    kernels = Kernels(settings)
    kernels.set_levels(signal)
    return kernels, signal


def test_all_kernels_are_different_and_have_three_weights_of_two_that_sum_to_zero() -> None:
    weight = Kernels(KernelSettings(count=ALL_KERNELS)).weight
    assert weight.shape == (84, 9)
    assert len({tuple(row) for row in weight.tolist()}) == 84
    assert (weight.sum(dim=1) == 0).all() and ((weight == 2).sum(dim=1) == 3).all()


def test_a_feature_is_the_share_of_samples_at_which_a_response_is_above_its_level() -> None:
    kernels, signal = made()
    shares = kernels(signal, 20)
    assert shares.shape == (3, 2, 3, SETTINGS.features)
    by_part = shares.reshape(3, 2, 3, 2, 2, 5)
    for number, dilation in enumerate(SETTINGS.dilations):
        padded = np.pad(signal[1, 1].numpy(), 4 * dilation)
        for kernel, weight in enumerate(kernels.weight.numpy()):
            response = np.array(
                [padded[i : i + 9 * dilation : dilation] @ weight for i in range(60)]
            )
            for quantile, level in enumerate(kernels.levels[number, :, kernel].numpy()):
                expected = (response > level).reshape(3, 20).mean(axis=1)
                found = by_part[1, 1, :, number, quantile, kernel].numpy()
                assert found == pytest.approx(expected, abs=0.051)  # one sample may be at a level


def test_levels_are_the_quantiles_and_leave_absent_leads_out() -> None:
    kernels, signal = made()
    shares = kernels(signal, 60).reshape(3, 2, 2, 2, 5).mean(dim=(0, 1))
    expected = torch.tensor([0.7, 0.2])[None, :, None].expand(2, 2, 5)
    torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)
    other = Kernels(SETTINGS)
    with_absent = torch.cat([signal, torch.zeros(3, 1, 60)], dim=1)
    other.set_levels(with_absent, torch.tensor([[True, True, False]] * 3))
    torch.testing.assert_close(other.levels, kernels.levels)


def test_counting_fewer_samples_takes_every_so_many_of_them() -> None:
    kernels, signal = made()
    rough = Kernels(SETTINGS.model_copy(update={"every": 2}))
    rough.load_state_dict(kernels.state_dict())
    single = kernels(signal, 1)[:, :, ::2].reshape(3, 2, 3, 10, SETTINGS.features).mean(dim=3)
    torch.testing.assert_close(rough(signal, 20), single)


def test_padding_counts_for_nothing_in_the_mean_over_windows() -> None:
    shares = torch.tensor([[[[1.0], [3.0], [9.0]]]])
    valid = torch.tensor([[True, True, False]])
    assert over_windows(shares, valid).item() == 2
    assert over_windows(shares, None).item() == pytest.approx(13 / 3)

"""The picture of a reconstruction is computed where the model is, and shows what was hidden."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.figures import reconstruction_picture
from lamae.figures.plots import ecg_paper
from lamae.figures.reconstruction_picture import reconstruction_figure
from lamae.model.autoencoder import LAMAE, Reconstruction
from lamae.model.masking import Mask, draw_mask
from lamae.model.recorded import Recorded
from lamae.model.settings import AutoencoderSettings

PREPROCESSOR = Preprocessor(sampling_rate=50, duration_s=5, band_hz=None)
TINY = {
    "encoder": {"patch_size": 50, "width": 16, "depth": 1, "heads": 2, "latent_depth": 1},
    "decoder": {"width": 16, "depth": 1, "heads": 2},
}


def make_model() -> LAMAE:
    torch.manual_seed(0)
    return LAMAE(AutoencoderSettings.model_validate(TINY)).eval()


def make_prepared(*, samples: int = 250, absent: int | None = None) -> Prepared:
    signal = np.random.default_rng(0).standard_normal((12, 250)).astype(np.float32)
    present = np.ones(12, dtype=bool)
    signal[:, samples:] = 0
    if absent is not None:
        present[absent], signal[absent] = False, 0
    ones = np.ones(12, dtype=np.float32)
    return Prepared(signal, present, 0 * ones, 2 * ones, samples)


def make_mask(kind: Any = "random") -> Mask:
    generator = torch.Generator().manual_seed(0)
    shape = {"batch": 1, "leads": 12, "patches": 5, "mask_ratio": 0.75}
    return draw_mask(kind, generator=generator, **shape)  # type: ignore[arg-type]


def drawn(monkeypatch: pytest.MonkeyPatch, prepared: Prepared, mask: Mask) -> dict[str, Any]:
    """Return what was given to the drawing of ECG paper."""
    given: dict[str, Any] = {}

    def spy(signal_mv: np.ndarray, leads: Sequence[str], **options: Any) -> Any:
        given.update(options, signal_mv=signal_mv)
        return ecg_paper(signal_mv, leads, **options)

    monkeypatch.setattr(reconstruction_picture, "ecg_paper", spy)
    figure = reconstruction_figure(
        make_model(), PREPROCESSOR, prepared, mask, title="T", device=torch.device("cpu")
    )
    assert figure.axes
    return given


@pytest.mark.parametrize("kind", ["random", "tube", "lead"])
def test_what_the_encoder_did_not_see_is_shaded_and_drawn_in_millivolts(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    prepared, mask = make_prepared(), make_mask(kind)
    given = drawn(monkeypatch, prepared, mask)
    shown = np.zeros((12, 5), dtype=bool)
    rows = range(12) if mask.seen is None else mask.seen[0].tolist()
    for row, visible in zip(rows, mask.visible[0].tolist(), strict=True):
        shown[row, visible] = True
    assert np.array_equal(given["hidden"], ~shown.repeat(50, axis=1))
    np.testing.assert_allclose(given["signal_mv"], 2 * prepared.signal)
    signal = torch.from_numpy(prepared.signal)[None]
    model = make_model()
    with torch.no_grad():
        found = model(signal, PREPROCESSOR.leads, mask=mask)
        expected = 2 * model.signal_from(found.patches, signal)[0].numpy()
    np.testing.assert_allclose(given["reconstruction_mv"], expected, rtol=1e-5, atol=1e-5)


def test_absent_leads_and_padding_are_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    given = drawn(monkeypatch, make_prepared(samples=150, absent=3), make_mask())
    for name in ("signal_mv", "reconstruction_mv"):
        blank = np.isnan(given[name])
        assert blank[3].all() and blank[:, 150:].all()
        assert blank.sum() == 250 + 11 * 100
    assert not given["hidden"][3].any() and not given["hidden"][:, 150:].any()


class _OnDevice(nn.Module):
    """Stands for an autoencoder on a device: it takes no tensor of any other."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, device="meta"))
        self._model = [make_model()]  # not a submodule: it stays on the CPU
        self.settings = self._model[0].settings

    def forward(
        self, signal: Tensor, leads: Sequence[str], *, mask: Mask, recorded: Recorded
    ) -> Any:
        tensors = [x for x in (signal, *mask, *recorded) if x is not None]
        assert {x.device.type for x in tensors} == {"meta"}
        visible = torch.zeros(mask.visible.shape, dtype=torch.int64)
        found: Reconstruction = self._model[0](torch.zeros(signal.shape), leads, mask=Mask(visible))
        return found

    def signal_from(self, patches: Tensor, signal: Tensor) -> Tensor:
        assert signal.device.type == "meta"
        return patches.flatten(2)


@pytest.mark.parametrize("samples", [150, 250])
def test_the_picture_is_computed_on_one_device(samples: int) -> None:
    model: Any = _OnDevice()
    draw = inspect.unwrap(reconstruction_figure)  # without the check of types: it is a stand-in
    prepared, device = make_prepared(samples=samples), torch.device("meta")
    assert draw(model, PREPROCESSOR, prepared, make_mask(), title="", device=device).axes

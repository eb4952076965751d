"""The baseline of untrained kernels: by themselves, and beside the encoder's features."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.encoders.untrained import in_millivolts, untrained_for
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.pooling import pool
from lamae.model.recorded import Recorded
from lamae.model.settings import AMPLITUDES, KernelSettings
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus

MakeProbe = Callable[..., FinetuneSettings]
KERNELS = KernelSettings(count=3, dilations=(1, 2), quantiles=(0.5,))
PREPROCESS = Preprocessor(sampling_rate=50, duration_s=5, band_hz=None)


def test_a_probe_is_reported_beside_kernels_and_together_with_them(
    make_probe: MakeProbe, tmp_path: Path
) -> None:
    finetune(make_probe(baselines=("random", "kernels"), kernels=KERNELS))
    summary = json.loads((tmp_path / "probe" / SUMMARY).read_text())
    names = ["pretrained", "random", "kernels", "kernels_and_encoder"]
    assert list(summary["candidates"]) == names

    def estimate(suffix: str) -> float:
        return float(summary[f"auroc_macro{suffix}"]["estimate"])

    assert estimate("_kernels_difference") == pytest.approx(estimate("") - estimate("_kernels"))
    together = estimate("_kernels_and_encoder")
    assert estimate("_added") == pytest.approx(together - estimate("_kernels"))
    assert {"auroc_kernels", "auroc_added"} <= summary["per_class"]["LBBB"].keys()
    page = (tmp_path / "probe" / "report.html").read_text()
    assert "Untrained kernels" in page and "Added to kernels" in page
    assert (tmp_path / "probe" / "predictions_kernels_and_encoder.csv").is_file()


def test_kernels_are_a_baseline_of_no_mode_but_probe(make_probe: MakeProbe) -> None:
    assert make_probe(baselines=("kernels",)).compared_with == ("kernels",)
    assert make_probe(baselines=("kernels",), mode="full").compared_with == ()


def test_its_features_know_the_voltage_and_nothing_of_absent_leads(corpus: Corpus) -> None:
    reads = in_millivolts(PREPROCESS)
    batch = Split(corpus, corpus.rows("val"), reads).batch(range(4))
    kernels, leads = untrained_for(reads, KERNELS), len(reads.leads)
    kernels.set_levels(batch.signal, batch.present)
    found, doubled = (
        pool(kernels(gain * batch.signal, reads.leads), "lead_mean", None).reshape(4, leads, -1)
        for gain in (1, 2)
    )
    assert found.shape[-1] == KERNELS.features + AMPLITUDES
    shares = found[..., :-AMPLITUDES]
    assert ((shares >= 0) & (shares <= 1)).all()
    torch.testing.assert_close(doubled[..., :-AMPLITUDES], shares, atol=0.02, rtol=0)
    assert (doubled[..., -3] > found[..., -3]).all()
    present = torch.ones(4, leads, dtype=torch.bool)
    present[:, 0] = False
    signal = batch.signal * present[..., None]
    without = pool(kernels(signal, reads.leads, recorded=Recorded(present)), "lead_mean", present)
    assert not without.reshape(4, leads, -1)[:, 0].any()
    assert np.isfinite(without.numpy()).all()


def test_padding_counts_for_nothing() -> None:
    kernels = untrained_for(in_millivolts(PREPROCESS), KERNELS)
    signal = torch.randn(2, 12, 250, generator=torch.Generator().manual_seed(0))
    kernels.set_levels(signal, None)
    valid = torch.tensor([[True] * 4 + [False]] * 2)
    features = [
        pool(kernels(x, PREPROCESS.leads, recorded=Recorded(valid=valid)), "lead_mean", None)
        for x in (signal, torch.cat([signal[..., :200], torch.ones(2, 12, 50)], dim=2))
    ]
    torch.testing.assert_close(*features)


def test_counted_samples_must_divide_a_window() -> None:
    with pytest.raises(InputError, match="a divisor of 50"):
        untrained_for(PREPROCESS, KERNELS.model_copy(update={"every": 3}))

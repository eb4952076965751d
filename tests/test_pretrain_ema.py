"""The moving average of the weights: what it is, that it is kept, and that it changes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lamae.batches.dataset import Split
from lamae.model.autoencoder import LAMAE
from lamae.model.checkpoint import load_autoencoder
from lamae.runs.run_folder import AVERAGE, OPTIMIZER, WEIGHTS
from lamae.runs.tracking import read_metrics, read_summary
from lamae.storage.corpus import Corpus
from lamae.training.weight_average import WeightAverage, decay_after
from pretrain.loop import validate
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings
from pretrain.start import start_training

MakeSettings = Callable[..., PretrainSettings]
LAST = "checkpoints/step-00000008"


def step_once(make: MakeSettings, accelerator: Accelerator, **changes: object) -> None:
    """Do a step of a run: its time is up at once."""
    pretrain(make(max_hours=1e-9, **changes), accelerator)


def test_the_average_of_a_run_is_the_recurrence_over_the_weights_of_its_steps(
    make_settings: MakeSettings, accelerator: Accelerator
) -> None:
    settings = make_settings(ema=0.3, checkpoint_every=1, retention={"keep_last": 8})
    pretrain(settings, accelerator)
    torch.manual_seed(settings.seed)
    expected = {name: p.double() for name, p in LAMAE(settings.model).state_dict().items()}
    for step in range(1, 9):
        share = min(0.3, (1 + step) / (10 + step))
        now = load_file(settings.run_dir / f"checkpoints/step-{step:08d}/{WEIGHTS}")
        for name, value in expected.items():
            expected[name] = share * value + (1 - share) * now[name].double()
    found = load_file(settings.run_dir / "model_ema" / WEIGHTS)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-6)


def test_a_step_is_that_of_torchs_own_average(make_settings: MakeSettings) -> None:
    torch.manual_seed(0)
    first, second = LAMAE(make_settings().model), LAMAE(make_settings().model)
    average = WeightAverage(first, 0.9)
    average.update(second, steps=10_000)
    expected = [parameter.detach().clone() for parameter in first.parameters()]
    now = [parameter.detach() for parameter in second.parameters()]
    get_ema_multi_avg_fn(0.9)(expected, now, torch.tensor(1))
    torch.testing.assert_close([*average.model.parameters()], expected)


def test_the_first_weights_are_soon_forgotten() -> None:
    """With 0.999 in each step, a tenth of them would be left after 2,300 steps."""
    left = 1.0
    for step in range(1, 101):
        left *= decay_after(step, 0.999)
    assert left < 1e-9
    assert decay_after(10**6, 0.999) == 0.999


def test_an_average_changes_nothing_in_training_and_is_validated_beside_it(
    make_settings: MakeSettings, accelerator: Accelerator, corpus: Corpus, pretrained_run: Path
) -> None:
    settings = make_settings(ema=0.9)
    pretrain(settings, accelerator)
    for name in (f"model/{WEIGHTS}", f"{LAST}/{OPTIMIZER}"):
        assert (settings.run_dir / name).read_bytes() == (pretrained_run / name).read_bytes()
    assert not (pretrained_run / "model_ema").exists()
    rows = [row for row in read_metrics(settings.run_dir) if "val/loss" in row]
    assert [row["step"] for row in rows if row["val_ema/loss"] != row["val/loss"]] == [4, 8]
    again = make_settings(start_from=settings.run_dir / "model_ema", run_dir=settings.run_dir / "2")
    val = Split(corpus, corpus.rows("val"), settings.preprocess)
    loss = validate(start_training(again, accelerator, corpus), val)
    assert loss == pytest.approx(rows[-1]["val_ema/loss"], rel=1e-6)
    assert read_summary(settings.run_dir)["val_ema_loss"] == rows[-1]["val_ema/loss"]


@pytest.mark.slow
def test_an_average_goes_on_to_the_bit(
    make_settings: MakeSettings, accelerator: Accelerator, tmp_path: Path
) -> None:
    whole = make_settings(ema=0.5, run_dir=tmp_path / "whole")
    pretrain(whole, accelerator)
    step_once(make_settings, accelerator, ema=0.5)
    step_once(make_settings, accelerator, ema=0.5, resume=True)
    parts = make_settings(ema=0.5, resume=True)
    pretrain(parts, accelerator)
    for name in (f"model_ema/{WEIGHTS}", f"{LAST}/{AVERAGE}", f"model/{WEIGHTS}"):
        assert (parts.run_dir / name).read_bytes() == (whole.run_dir / name).read_bytes()
    different = (whole.run_dir / f"model/{WEIGHTS}").read_bytes()
    assert (whole.run_dir / f"model_ema/{WEIGHTS}").read_bytes() != different
    assert load_autoencoder(whole.run_dir / "model_ema").model.settings == whole.model


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (None, 0.5, "ema was None and is now 0.5: the average begins with the weights of the"),
        (0.5, None, "ema was 0.5 and is now None: its average is left behind"),
        (0.5, 0.9, "ema was 0.5 and is now 0.9: its average goes on with the new decay"),
        (0.5, 0.5, None),
    ],
)
def test_a_run_that_goes_on_with_another_average_says_so(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    corpus: Corpus,
    caplog: pytest.LogCaptureFixture,
    before: float | None,
    now: float | None,
    said: str | None,
) -> None:
    step_once(make_settings, accelerator, ema=before)
    training = start_training(make_settings(ema=now, resume=True), accelerator, corpus)
    assert [text for text in caplog.messages if text.startswith("ema was")] == [
        text for text in caplog.messages if said and text.startswith(said)
    ]
    assert bool(caplog.messages) == (said is not None)
    assert (training.average is None) == (now is None)
    if training.average:
        file = WEIGHTS if before is None else AVERAGE
        expected = load_file(training.settings.run_dir / f"checkpoints/step-00000001/{file}")
        torch.testing.assert_close(training.average.model.state_dict(), expected, rtol=0, atol=0)

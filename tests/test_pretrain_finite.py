"""A step that is not finite changes nothing, though the host learns of it later or never looks."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lamae.batches.dataset import Split
from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from lamae.training.optim import AdamW
from pretrain.batches import MaskedBatch, Reader, step_batches
from pretrain.finite import FiniteSteps, Step, poisoned
from pretrain.loop import Training, train_step
from pretrain.settings import PretrainSettings
from pretrain.start import start_training

MakeSettings = Callable[..., PretrainSettings]
CPU = torch.device("cpu")
NAN, INFINITY = float("nan"), float("inf")


def snapshot(optimizer: AdamW) -> list[Tensor]:
    """Copy weights, moments and counters."""
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    state = [value for p in weights for value in optimizer.state[p].values()]
    return [value.detach().clone() for value in (*weights, *state)]


def unchanged(before: list[Tensor], after: list[Tensor]) -> bool:
    return len(before) == len(after) and all(map(torch.equal, before, after))


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
def test_the_kernel_of_adamw_leaves_weights_moments_and_counters_alone(value: float) -> None:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(size)) for size in ((3, 70), (5,), ())]
    optimizer = AdamW(parameters, lr=0.1, weight_decay=0.3, fused=True)
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    before = snapshot(optimizer)
    parameters[1].grad = torch.full_like(parameters[1], value)
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    assert unchanged(before, snapshot(optimizer))
    optimizer.found_inf = torch.zeros(())
    optimizer.step()
    assert not torch.isfinite(torch.cat([p.detach().flatten() for p in parameters])).all()


def test_a_step_that_may_go_on_is_the_same_to_the_last_bit_as_one_nobody_watched() -> None:
    found = []
    for watched in (False, True):
        torch.manual_seed(0)
        parameters = [nn.Parameter(torch.randn(size)) for size in ((33, 7), (5,))]
        optimizer = AdamW(parameters, lr=0.1, weight_decay=0.3, fused=True)
        for _ in range(3):
            for parameter in parameters:
                parameter.grad = torch.randn_like(parameter)
            optimizer.found_inf = torch.zeros(()) if watched else None
            optimizer.step()
        found.append(snapshot(optimizer))
    assert unchanged(*found)


@pytest.mark.parametrize(
    ("most", "norms", "frozen"),
    [
        (0, [1, NAN, 1, 1], [0, 1, 1, 1]),  # after the first, nothing may change any more
        (1, [INFINITY, 1, NAN, 1, 1], [1, 0, 1, 0, 0]),
        (1, [1, NAN, NAN, 1, 1], [0, 1, 1, 1, 1]),
        (2, [NAN, NAN, 1, NAN, NAN, NAN, 1], [1, 1, 0, 1, 1, 1, 1]),
    ],
)
def test_after_more_in_a_row_than_may_be_nothing_changes_again(
    most: int, norms: list[float], frozen: list[int]
) -> None:
    steps = FiniteSteps(CPU, most_in_a_row=most)
    assert [int(steps.found_inf(torch.tensor(float(norm)))) for norm in norms] == frozen


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_the_host_learns_of_each_step_so_many_steps_later(ahead: int) -> None:
    steps = FiniteSteps(CPU, most_in_a_row=9, steps_ahead=ahead)
    norms = [1.0, NAN, INFINITY, 1.0, NAN, 1.0]
    told: dict[int, list[tuple[int, int]]] = {}
    for number, norm in enumerate(norms):
        step = Step(number, 0.1, (f"r{number}",))
        steps.note(step, loss=torch.tensor(2.0), norm=torch.tensor(norm))
        told[number] = [(f.step.number, f.in_a_row) for f in steps.read(leave=ahead)]
    rest = [(f.step.number, f.in_a_row) for f in steps.read(leave=0)]
    for number, found in told.items():
        assert found == [one for one in [(1, 1), (2, 2), (4, 1)] if one[0] == number - ahead]
    assert rest == [one for one in [(1, 1), (2, 2), (4, 1)] if one[0] > len(norms) - 1 - ahead]


@pytest.mark.parametrize("loss", [1.5, 0.0, NAN, INFINITY])
def test_a_loss_that_is_not_finite_shows_in_the_gradient(loss: float) -> None:
    """Which is averaged over the processes, so that all of them see it."""
    weight = torch.tensor(3.0, requires_grad=True)
    poisoned(2 * weight, torch.tensor(loss)).backward()
    assert weight.grad is not None
    assert float(weight.grad) == 2 if abs(loss) < 2 else bool(weight.grad.isnan())


@pytest.fixture
def late(make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator) -> Any:
    """Return a function that starts a training whose host looks at steps `ahead` later."""

    def start(ahead: int, **changes: Any) -> tuple[Training, MaskedBatch, MaskedBatch]:
        settings = make_settings(log_every=100, **changes)
        training = start_training(settings, accelerator, corpus)
        training.finite.steps_ahead = ahead
        data = Split(corpus, corpus.rows("train"), settings.preprocess)
        (good,) = step_batches(settings, accelerator, Reader(data, settings, CPU), 0)
        bad = good._replace(batch=good.batch._replace(signal=good.batch.signal * NAN))
        return training, good, bad

    return start


def test_a_run_ends_some_steps_after_the_bad_one_which_is_named_with_its_weights(late: Any) -> None:
    training, good, bad = late(2)
    for _ in range(3):
        train_step(training, [good])
    before = snapshot(training.bare_optimizer)
    train_step(training, [bad])
    train_step(training, [good])
    message = rf"training after 3 steps, lr \S+: loss nan, .* records {good.batch.keys[0]}"
    with pytest.raises(InputError, match=message):
        train_step(training, [good])
    assert unchanged(before, snapshot(training.bare_optimizer))


def test_no_checkpoint_is_written_while_a_bad_step_is_unread(late: Any) -> None:
    training, good, bad = late(2)
    train_step(training, [good])
    train_step(training, [bad])
    with pytest.raises(InputError, match="training after 1 steps"):
        training.save()


def test_skipped_late_or_at_once_the_weights_and_the_warnings_are_the_same(
    late: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found, told = [], []
    for ahead in (0, 2):
        caplog.clear()
        training, good, bad = late(ahead, non_finite="skip", run_dir=tmp_path / f"run{ahead}")
        with caplog.at_level(logging.WARNING):
            for part in (good, bad, bad, good, bad, good, good):
                train_step(training, [part])
            training.settle()
        found.append(snapshot(training.bare_optimizer))
        told.append([text.partition(":")[0] for text in caplog.messages])
    assert unchanged(*found)
    assert told[0] == told[1] == [f"step {number} skipped" for number in (2, 3, 5)]


class Looks(TorchDispatchMode):
    """Notes the operations by which a host reads a value of a tensor, and so waits for it."""

    WAIT = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.all = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.all += 1
        if any(name in func.__name__ for name in self.WAIT):
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("preprocess_on", ["host", "device"])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("method", ["lamae", "alignment"])
def test_a_step_asks_for_no_value_from_the_device(
    make_settings: MakeSettings,
    corpus: Corpus,
    accelerator: Accelerator,
    tiny_values: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    preprocess_on: str,
    accumulation: int,
    method: str,
) -> None:
    model = tiny_values["model"]
    model = model | {"encoder": model["encoder"] | {"method": method}}
    settings = make_settings(
        model=model, log_every=100, accumulation=accumulation, preprocess_on=preprocess_on
    )
    training = start_training(settings, accelerator, corpus)
    training.finite.steps_ahead = 2
    data = Split(corpus, corpus.rows("train"), settings.preprocess)
    batches = [
        step_batches(settings, accelerator, Reader(data, settings, CPU), step) for step in range(2)
    ]
    with monkeypatch.context() as patched, Looks() as looks:
        for name in ("tolist", "numpy", "cpu"):  # which dispatch nothing where they copy nothing
            patched.setattr(torch.Tensor, name, None)
        for parts in batches:
            found = train_step(training, parts)
    assert looks.all > 200 and looks.found == []
    with Looks() as looks:
        assert float(found["train/loss"]) > 0
    assert looks.found == ["_local_scalar_dense.default"]

"""Steps that are not finite: they change nothing, and the host learns of them when it can.

The device decides for itself, by a number that the optimiser's kernel reads. A copy of it goes to
the host behind the step's work, and the host looks at it a few steps later: it never waits for
what it has just asked for.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lamae.errors import InputError
from lamae.runs.run_folder import newest_checkpoint

_STEPS_AHEAD = 2
"""Steps that the host may be ahead of a GPU before it looks how the earliest of them went."""


class Step(NamedTuple):
    """A step that has been asked for."""

    number: int
    """Optimiser steps done before it."""
    lr: float
    """Learning rate."""
    keys: tuple[str, ...]
    """The recordings that this process had in it."""


class NonFinite(NamedTuple):
    """A step whose loss or gradient was not finite."""

    step: Step
    """The step."""
    loss: float
    """Share of this process in the loss."""
    norm: float
    """Norm of the gradient."""
    in_a_row: int
    """Number of such steps without another in between, this one included."""

    @property
    def text(self) -> str:
        """The finding, in words."""
        elsewhere = " (finite: the fault may lie with another process)"
        loss = f"loss {self.loss:.4g}{elsewhere * math.isfinite(self.loss)}"
        return f"{loss}, gradient norm {self.norm:.4g} with records {', '.join(self.step.keys)}"


class _Noted(NamedTuple):
    step: Step
    values: Tensor  # float32 (3): whether it was not finite, loss, norm
    copied: torch.cuda.Event | None


class FiniteSteps:
    """Steps that are to change nothing, and a list of those that the host has not looked at."""

    def __init__(
        self, device: torch.device, *, most_in_a_row: int, steps_ahead: int | None = None
    ) -> None:
        """Allow so many steps in a row that are not finite; after one more, nothing ever changes.

        By default the host looks `steps_ahead` 2 steps later on a GPU, and at once on a CPU.
        """
        default = _STEPS_AHEAD if device.type == "cuda" else 0
        self.steps_ahead = default if steps_ahead is None else steps_ahead
        self.in_a_row = 0
        """Steps that were not finite since the last one that was, as far as the host knows."""
        self.count = 0
        """All steps that were not finite, as far as the host knows."""
        self.most_in_a_row = most_in_a_row
        """Such steps in a row after which one more ends the run."""
        self._in_a_row = torch.zeros((), device=device)
        self._is_over = torch.zeros((), device=device)
        self._pending: deque[_Noted] = deque()

    def found_inf(self, norm: Tensor) -> Tensor:
        """Return 1.0 on the device where a step with this norm is to change nothing, else 0.0."""
        bad = torch.isfinite(norm).logical_not().float()
        self._in_a_row = (self._in_a_row + 1) * bad
        self._is_over = torch.maximum(self._is_over, (self._in_a_row > self.most_in_a_row).float())
        return torch.maximum(bad, self._is_over)

    def note(self, step: Step, *, loss: Tensor, norm: Tensor) -> None:
        """Send to the host how a step has gone, behind the work of the step."""
        bad = torch.isfinite(norm).logical_not()
        values = torch.stack([bad.float(), loss.float(), norm.float()])
        copied = None
        if values.is_cuda:
            on_host = torch.empty(3, pin_memory=True)
            on_host.copy_(values, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record()
            values = on_host
        self._pending.append(_Noted(step, values, copied))

    def read(self, *, leave: int) -> Iterator[NonFinite]:
        """Yield the steps that were not finite, in order, of all but the newest `leave`.

        Each is the same on every process, and so is when it is read.
        """
        while len(self._pending) > leave:
            step, values, copied = self._pending.popleft()
            if copied is not None:
                copied.synchronize()
            is_bad, loss, norm = values.tolist()
            self.in_a_row = self.in_a_row + 1 if is_bad else 0
            if is_bad:
                self.count += 1
                yield NonFinite(step, loss, norm, self.in_a_row)


def poisoned(share: Tensor, loss: Tensor) -> Tensor:
    """Return `share`, of which the gradient is NaN where `loss` is not finite.

    So the gradient alone tells, once it has been averaged, whether the loss was finite on every
    process; multiplying by 1.0 changes no bit of it otherwise.
    """
    return share * torch.ones_like(share).where(torch.isfinite(loss), float("nan"))


def are_finite(tensors: Sequence[Tensor]) -> bool:
    """Return whether all values of all tensors are finite; the host waits once for the answer."""
    found = [torch.isfinite(tensor).all() for tensor in tensors]
    return not found or bool(torch.stack([one.to(found[0].device) for one in found]).all())


def not_finite(run_dir: Path, step: Step, found: str) -> InputError:
    """Return the error of a run that came upon what is not finite."""
    newest = newest_checkpoint(run_dir)
    return InputError(
        f"training after {step.number} steps, lr {step.lr:.4g}",
        value=found,
        expected="finite numbers",
        remedy="Train again with a lower lr or more warmup_steps in another run_dir; the newest "
        f"good checkpoint is {newest or 'none'}.",
    )

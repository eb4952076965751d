"""Steps of a run that are tried before it, and the verb check, which tries them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from lamae.errors import InputError
from pretrain.batches import MaskedBatch, Reader, step_batches
from pretrain.cost.meter import peak_memory
from pretrain.cost.peak import wait_for
from pretrain.data import Corpora
from pretrain.loop import Training, model_arguments, reconstruct, train_step
from pretrain.processes.check.machine import device_of
from pretrain.processes.check.program import checked
from pretrain.processes.check.step import Tried, candidates, own_share, planned_bytes
from pretrain.settings import PretrainSettings
from pretrain.start import set_statistics, start_training

_SPREAD = (DistributedType.DEEPSPEED, DistributedType.FSDP)
_BUDGET_S = 15.0
"""A step that would take longer is tried with fewer recordings."""
_FEW, _FEW_ON_GPU = 2, 64


def check(settings: PretrainSettings) -> Iterator[str]:
    """Yield the lines of the table of a check; exits 1 where one of them fails."""
    yield from checked(settings, Trial)


class Trial:
    """Steps of a run without its folder: what it would write goes to another one."""

    def __init__(
        self,
        settings: PretrainSettings,
        accelerator: Accelerator,
        corpora: Corpora,
        folder: Path,
    ) -> None:
        """Prepare trials; `folder` is for what the start of a run writes."""
        self._given = settings.model_copy(
            update={"run_dir": folder, "resume": False, "residency": "stream", "compile": False}
        )
        self._settings, self._accelerator, self._corpora = settings, accelerator, corpora
        self._on_gpu = accelerator.device.type == "cuda"
        self._count = accelerator.num_processes
        self._attempts = 0

    @property
    def is_spread(self) -> bool:
        """True where weights or moments are spread over the processes: none can try by itself.

        DeepSpeed is also configured for the batch of the run, and for no other.
        """
        return self._accelerator.distributed_type in _SPREAD

    def accumulation(self) -> int:
        """Return the least accumulation, from that of the settings, at which a part fits here.

        On a GPU it is tried; elsewhere reckoned, as the system would end a process that takes too
        much. Raises InputError where not even one recording fits.
        """
        if self.is_spread:
            return self._settings.accumulation
        training = self._start(self._given)
        fits = self._part_fits if self._on_gpu else self._plan_fits
        for parts in candidates(self._settings, self._count):
            if fits(training, own_share(self._settings, self._count, parts)):
                self._free(training)
                return parts
        raise InputError(
            "a step",
            value="does not fit into memory with one recording at a time",
            expected="room for model, optimiser and one recording",
            remedy="Take a smaller model, or ask for more memory.",
        )

    def few(self) -> Tried:
        """Do steps of few recordings, to know how many can be tried."""
        few = min(_FEW_ON_GPU if self._on_gpu else _FEW, own_share(self._given, self._count, 1))
        return self._steps(_of(self._given, few * self._count))

    def step(self, *, accumulation: int, is_compiled: bool, per_recording_s: float) -> Tried:
        """Do steps of the whole batch or, where that would take long, of a part of it."""
        update: dict[str, Any] = {"accumulation": accumulation, "compile": is_compiled}
        settings = self._given.model_copy(update=update)
        share, part = (own_share(settings, self._count, n) for n in (1, accumulation))
        most = max(int(_BUDGET_S / per_recording_s), 1)
        if self.is_spread or most >= share:
            return self._steps(settings)
        reduced = min(most, part)
        tried = self._steps(_of(settings, reduced * self._count))
        return tried._replace(step_s=tried.step_s * share / reduced)

    def _steps(self, settings: PretrainSettings) -> Tried:
        """Do two steps; the second is timed."""
        device = self._accelerator.device
        training = self._start(settings)
        read = Reader(self._corpora.train, settings, device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        seconds = list[float]()
        for number in range(2):
            batch = step_batches(settings, self._accelerator, read, number)
            started = time.perf_counter()
            wait_for(train_step(training, batch)["train/loss"])
            seconds.append(time.perf_counter() - started)
        peak = peak_memory(device)
        self._free(training)
        first_s, step_s = seconds
        return Tried(first_s, step_s, peak, settings.batch_size // self._count)

    def _start(self, settings: PretrainSettings) -> Training:
        """Begin a run as the program does, in a folder that no other trial has used."""
        self._attempts += 1
        folder = settings.run_dir / str(self._attempts)
        settings = settings.model_copy(update={"run_dir": folder, "steps": 1_000_000})
        training = start_training(settings, self._accelerator, self._corpora)
        set_statistics(training, self._corpora.train)
        return training

    def _free(self, training: Training) -> None:
        """Give back what a trial holds."""
        if not self.is_spread:
            training.bare_optimizer.state.clear()
            training.bare_model.to("meta")
        self._accelerator.free_memory()

    def _plan_fits(self, training: Training, recordings: int) -> bool:
        """Reckon whether a part of a step fits into this process's share of what is free."""
        on_node = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        share = device_of(self._accelerator.device).free / on_node
        return planned_bytes(self._settings, training.bare_model, recordings) <= share

    def _part_fits(self, training: Training, recordings: int) -> bool:
        """Try forward and backward of a part of a step, without the other processes."""
        accelerator = self._accelerator
        settings = _of(training.settings, recordings * accelerator.num_processes)
        read = Reader(self._corpora.train, settings, accelerator.device)
        (part,) = step_batches(settings, accelerator, read, 0)
        try:
            self._forward_and_backward(training, part)
        except torch.OutOfMemoryError:
            fits = False
        else:
            fits = True
        training.bare_model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        return fits

    def _forward_and_backward(self, training: Training, part: MaskedBatch) -> None:
        with self._accelerator.no_sync(training.model):
            found = reconstruct(training, training.model, model_arguments(training, part))
            self._accelerator.backward(found.loss)


def _of(settings: PretrainSettings, batch_size: int) -> PretrainSettings:
    """Return settings of steps of so many recordings, in one part."""
    return settings.model_copy(update={"batch_size": batch_size, "accumulation": 1})

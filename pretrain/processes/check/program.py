"""The verb check: whether a run would go, on the processes that were launched for it."""

import math
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator

from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.runs.cores import node_name
from lamae.training.threads import use_cores
from pretrain.data import Corpora
from pretrain.processes.check import machine, storage
from pretrain.processes.check.step import Trials, Tried, duration_text
from pretrain.processes.check.table import BAD_NODES, Line, failed, on_all, values
from pretrain.processes.faults import lost_processes_as_errors
from pretrain.processes.launch import check_batch_size, make_accelerator
from pretrain.processes.stopping import Agreement
from pretrain.processes.watchdog import Watchdog
from pretrain.settings import PretrainSettings

MakeTrials = Callable[[PretrainSettings, Accelerator, Corpora, Path], Trials]
_LIMIT_S, _COMPILING_S = 120.0, 300.0
"""Time that a line of the table may take, and one of a run that compiles."""
_CHECKPOINT_BYTES = 12
"""Bytes of a parameter in a checkpoint: the weight and two moments, fp32."""
_SLOW_EXCHANGE = 0.5
"""Share of a step that the exchange of gradients may take."""


def checked(settings: PretrainSettings, trial_of: MakeTrials) -> Iterator[str]:
    """Yield the lines of the table; exits 1 where one of them fails."""
    try:
        machine.check_promised_devices()
    except InputError as error:
        yield str(Line("fail", "devices", str(error)))
        yield f"{BAD_NODES}{node_name()}"
        raise SystemExit(1) from None
    limit_s = _COMPILING_S if settings.compile else _LIMIT_S
    limited = settings.model_copy(update={"timeout_s": min(settings.timeout_s, limit_s)})
    with lost_processes_as_errors():
        accelerator = make_accelerator(limited)
        use_cores(accelerator, settings.cpu_threads)
        lines = list[Line]()
        with Watchdog(limited.timeout_s, rank=accelerator.process_index) as watchdog:
            for line in table(limited, accelerator, trial_of):
                watchdog.beat(len(lines) + 1, doing="the next line of the check")
                lines.append(line)
                if accelerator.is_main_process:
                    yield str(line)
        bad = sorted({node for line in lines for node in line.bad_nodes})
        if bad and accelerator.is_main_process:
            yield f"{BAD_NODES}{','.join(bad)}"
        if any(line.result == "fail" for line in lines):
            raise SystemExit(1)


def table(
    settings: PretrainSettings, accelerator: Accelerator, trial_of: MakeTrials
) -> Iterator[Line]:
    """Yield the lines of the table, the same on every process."""
    agreement = Agreement(timeout=timedelta(seconds=settings.timeout_s))
    with torch.device("meta"):
        parameters = sum(each.numel() for each in LAMAE(settings.model).parameters())
    rates, speeds, exchanges = list[float](), list[float](), list[float]()
    yield from machine.devices(accelerator, agreement)
    yield from machine.bf16(settings, accelerator, agreement)
    yield from machine.exchange(
        accelerator, agreement, gradient_bytes=4 * parameters, seconds=exchanges
    )
    yield from storage.run_folder(
        settings,
        accelerator,
        agreement,
        checkpoint_bytes=_CHECKPOINT_BYTES * parameters,
        speeds=speeds,
    )
    divided = on_all(agreement, lambda: check_batch_size(settings, accelerator))
    opened = on_all(agreement, lambda: len(Corpora(settings).train))
    faults = [*failed("batch", divided), *failed("shards", opened)]
    yield from faults
    if faults:
        return
    corpora = Corpora(settings)
    yield from storage.reading(settings, accelerator, agreement, corpora, rates)
    if not rates:
        return
    with tempfile.TemporaryDirectory() as folder:
        trial = trial_of(settings, accelerator, corpora, Path(folder))
        tried = list[Tried]()
        yield from _steps(settings, agreement, trial, tried)
    if tried:
        yield from _conclusions(settings, accelerator, tried[-1], rates[0], speeds, exchanges)


def _steps(
    settings: PretrainSettings, agreement: Agreement, trial: Trials, tried: list[Tried]
) -> Iterator[Line]:
    """Find what fits, then do a step, and a compiled one where the run has such; add to `tried`."""
    fitting = on_all(agreement, trial.accumulation)
    faults = list(failed("memory", fitting))
    yield from faults
    if faults:
        return
    accumulation = max(values(fitting))
    if accumulation == settings.accumulation:
        yield Line("pass", "memory", f"a step fits with accumulation={accumulation}")
    else:
        text = f"a step does not fit with accumulation={settings.accumulation}."
        yield Line("fail", "memory", text, f"Set accumulation={accumulation}.")
    kinds = (settings.compile,) if trial.is_spread else _kinds(settings)
    few_s, few = 1.0, 1
    if not trial.is_spread:
        small = on_all(agreement, trial.few)
        faults = list(failed("step", small))
        yield from faults
        if faults:
            return
        few_s, few = max(each.step_s for each in values(small)), values(small)[0].recordings
    for is_compiled in kinds:
        subject = "compiled" if is_compiled else "step"
        probe = partial(
            trial.step,
            accumulation=accumulation,
            is_compiled=is_compiled,
            per_recording_s=few_s / few,
        )
        found = on_all(agreement, probe)
        faults = list(failed(subject, found, "Set compile=false." if is_compiled else ""))
        yield from faults
        if faults:
            return
        slowest = max(values(found), key=lambda each: each.step_s)
        tried.append(slowest._replace(peak=max(each.peak for each in values(found))))
        whole = settings.batch_size / slowest.recordings / len(found)
        part = f", by {slowest.recordings} recordings of each process" if whole > 1 else ""
        yield Line("pass", subject, f"{tried[-1].text}; first {slowest.first_s:.3g} s{part}")


def _kinds(settings: PretrainSettings) -> tuple[bool, ...]:
    """Return whether steps are compiled, of each kind that is tried."""
    return (False, True) if settings.compile else (False,)


def _conclusions(
    settings: PretrainSettings,
    accelerator: Accelerator,
    tried: Tried,
    rate: float,
    speeds: list[float],
    exchanges: list[float],
) -> Iterator[Line]:
    """Yield what follows of a step for reading, for the exchange, and for the whole run."""
    threads = max(settings.data_workers, 1)
    reading_s = settings.batch_size / (rate * threads)
    if settings.residency != "stream":
        reading_s = 0.0
    elif reading_s > tried.step_s:
        needed = math.ceil(settings.batch_size / (rate * tried.step_s))
        text = f"a step would wait for its recordings, {reading_s:.3g} s."
        yield Line("warn", "reading", text, f"Set data_workers={needed}, or residency=ram.")
    if exchanges and exchanges[0] > _SLOW_EXCHANGE * tried.step_s:
        text = f"gradients take {exchanges[0] / tried.step_s:.0%} of the time of a step."
        remedy = "Take a larger batch_size or fewer nodes, or see docs/how-to/slurm.md on NCCL."
        yield Line("warn", "exchange", text, remedy)
    with torch.device("meta"):
        size = _CHECKPOINT_BYTES * sum(p.numel() for p in LAMAE(settings.model).parameters())
    saving_s = size / speeds[0] if speeds else 0.0
    processes = accelerator.num_processes
    figures = {"processes": processes, "reading_s": reading_s, "saving_s": saving_s}
    yield Line("pass", "duration", duration_text(settings, tried, **figures))

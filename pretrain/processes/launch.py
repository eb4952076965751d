"""Launch of the program: the processes, their devices, the arithmetic."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

from lamae.errors import InputError
from pretrain.processes.zero import uses_zero
from pretrain.settings import PretrainSettings


def make_accelerator(settings: PretrainSettings) -> Accelerator:
    """Connect the processes that `accelerate launch` has started, or be the only one.

    Raises InputError where DeepSpeed was asked for and cannot be had, and where the launch
    contradicts the settings.
    """
    _check_spreading(settings)
    limit = InitProcessGroupKwargs(timeout=timedelta(seconds=settings.timeout_s))
    if not _asks_for("DEEPSPEED"):
        precision = {"fp32": "no", "bf16": "bf16"}[settings.precision]
        # Without cpu=True, each of several processes on a CPU would take itself for the only one.
        on_cpu = not torch.accelerator.is_available()
        # No static_graph: masks of several kinds and accumulation make another graph by the step.
        views = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
        handlers = [limit, views]
        return Accelerator(cpu=on_cpu, mixed_precision=precision, kwargs_handlers=handlers)
    missing = [name for name in ("deepspeed", "transformers") if find_spec(name) is None]
    if missing:
        raise InputError(
            "launch under DeepSpeed",
            value=f"no {' and no '.join(missing)}, which accelerate imports for it",
            expected="both installed",
            remedy="pip install 'lamae[deepspeed]', or use a config of accelerate without it.",
        )
    if not torch.cuda.is_available():
        _prepare_for_cpu(limit)
    # Not bf16: DeepSpeed would make the weights bf16. pretrain/processes/zero_config.py turns on
    # autocast.
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[limit])
    if not uses_zero(accelerator):
        raise InputError(
            "launch under DeepSpeed",
            value="use_cpu or ACCELERATE_USE_CPU, for which accelerate drops DeepSpeed",
            expected="neither",
            remedy="Unset it: without a GPU, processes are on the CPU anyway.",
        )
    return accelerator


def _check_spreading(settings: PretrainSettings) -> None:
    """Raise InputError where the launch and the settings would spread the weights differently."""
    if _asks_for("FSDP"):
        raise InputError(
            "launch under accelerate's FSDP",
            value="ACCELERATE_USE_FSDP, or an fsdp_config",
            expected="a launch as for DDP",
            remedy="Launch with configs/accelerate/one_node.yaml, and give fsdp=true.",
        )
    if settings.fsdp and _asks_for("DEEPSPEED"):
        raise InputError(
            "fsdp",
            value="true, in a launch under DeepSpeed",
            expected="one of the two",
            remedy="Give fsdp=false, or launch with configs/accelerate/one_node.yaml.",
        )


def _asks_for(what: str) -> bool:
    """Return whether `accelerate launch` was configured for DEEPSPEED or FSDP."""
    return os.environ.get(f"ACCELERATE_USE_{what}", "false").lower() == "true"


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Let torch use deterministic algorithms alone in this context, where that is wanted.

    To be entered before the first work on a GPU: cuBLAS reads its variable once.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _prepare_for_cpu(limit: InitProcessGroupKwargs) -> None:
    """Let DeepSpeed's processes talk by gloo where there is no GPU.

    accelerate takes each of them for the only one unless a backend is named, and DeepSpeed would
    compile one of its own, for minutes.
    """
    import deepspeed.ops

    limit.backend = "gloo"
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def check_batch_size(settings: PretrainSettings, accelerator: Accelerator) -> None:
    """Raise InputError where a batch cannot be divided into equal micro-batches."""
    parts = accelerator.num_processes * settings.accumulation
    if settings.batch_size % parts:
        raise InputError(
            "batch_size",
            value=str(settings.batch_size),
            expected=f"a multiple of {parts} (processes x accumulation)",
            remedy="Change batch_size, accumulation or the number of processes.",
        )

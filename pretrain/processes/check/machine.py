"""Devices of the processes, their arithmetic, and the exchange between them."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import distributed

from lamae.errors import InputError
from lamae.runs.cores import node_name
from pretrain.cost.peak import shortest, wait_for
from pretrain.processes.check.table import Line, failed, on_all, values
from pretrain.processes.stopping import Agreement
from pretrain.settings import PretrainSettings

_MIB, _GIB = 2**20, 2**30
_LARGEST = {"cuda": 256 * _MIB, "cpu": 32 * _MIB}
_MOSTLY_FREE = 0.9
_TRIES = 3


class Device(NamedTuple):
    """The device of a process."""

    name: str
    """Its model, or "CPU"."""
    total: int
    """Bytes of its memory, or of that of the machine."""
    free: int
    """Bytes that nobody uses."""


def check_promised_devices() -> None:
    """Raise InputError where a job was given GPUs and torch finds none on this machine."""
    promised = os.environ.get("SLURM_GPUS_ON_NODE", "0") not in ("", "0")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if (promised or visible.strip() not in ("", "-1", "NoDevFiles")) and not (
        torch.cuda.is_available()
    ):
        raise InputError(
            f"GPUs of {node_name()}",
            value="torch finds none",
            expected="those of the job (SLURM_GPUS_ON_NODE, CUDA_VISIBLE_DEVICES)",
            remedy="See nvidia-smi there: a driver that fails, or a torch without CUDA.",
        )


def devices(accelerator: Accelerator, agreement: Agreement) -> Iterator[Line]:
    """Compare the devices of all processes, and the memory that is free."""
    found = on_all(agreement, lambda: device_of(accelerator.device))
    yield from failed("devices", found, "Leave the node out, or have it mended.")
    shown = values(found)
    if not shown:
        return
    names = Counter(device.name for device in shown)
    by_node = Counter(each.node for each in found)
    least, free = min(d.total for d in shown), min(d.free for d in shown)
    text = (
        f"{', '.join(f'{count} x {name}' for name, count in names.items())}, at least "
        f"{least / _GIB:.0f} GiB, {free / _GIB:.0f} free; "
        f"{', '.join(f'{count} on {node}' for node, count in by_node.items())}"
    )
    if len(names) > 1 or len({*by_node.values()}) > 1:
        remedy = "The slowest sets the pace: ask for equal nodes and as many processes on each."
        yield Line("warn", "devices", text, remedy)
    elif accelerator.device.type == "cuda" and free < _MOSTLY_FREE * least:
        yield Line("warn", "devices", text, "Another program holds memory: see nvidia-smi.")
    else:
        yield Line("pass", "devices", text)


def device_of(device: torch.device) -> Device:
    """Return name and memory of a device; of a CPU the memory of the machine."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Device(torch.cuda.get_device_name(device), total, free)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device(device.type.upper(), total, _available(total))


def bf16(
    settings: PretrainSettings, accelerator: Accelerator, agreement: Agreement
) -> Iterator[Line]:
    """Multiply in bf16 on every device."""
    is_wanted = settings.precision == "bf16"
    found = on_all(agreement, lambda: _multiply_bf16(accelerator.device))
    faults = list(failed("bf16", found, "Set precision=fp32."))
    has_it: list[bool] = values(found)
    if faults:
        yield faults[0] if is_wanted else faults[0]._replace(result="warn", bad_nodes=())
    elif not all(has_it):
        remedy = "Set precision=fp32, or take newer GPUs." if is_wanted else ""
        yield Line("warn" if is_wanted else "pass", "bf16", "is emulated, and slow.", remedy)
    else:
        used = "is used" if is_wanted else "is not asked for (precision=fp32)"
        yield Line("pass", "bf16", f"works, and {used}")


def exchange(
    accelerator: Accelerator, agreement: Agreement, *, gradient_bytes: int, seconds: list[float]
) -> Iterator[Line]:
    """Measure the all-reduce of the processes; append the seconds of one of all gradients."""
    count = accelerator.num_processes
    if count == 1:
        yield Line("pass", "exchange", "one process, which exchanges nothing")
        return
    size = min(gradient_bytes, _LARGEST.get(accelerator.device.type, 32 * _MIB))
    found = on_all(agreement, lambda: _all_reduce_s(accelerator, size))
    faults = list(failed("exchange", found, "See NCCL_DEBUG=INFO in docs/how-to/slurm.md."))
    yield from faults
    if faults:
        return
    slowest = max(values(found))
    seconds.append(slowest * gradient_bytes / size)
    yield Line(
        "pass",
        "exchange",
        f"{distributed.get_backend()}: {size / slowest / 1e6:,.0f} MB/s all-reduced by {count} "
        f"processes; all gradients ({gradient_bytes / 1e6:,.0f} MB) in {seconds[-1]:.3g} s",
    )


def _all_reduce_s(accelerator: Accelerator, size: int) -> float:
    """Return the seconds of an all-reduce of so many bytes; raises InputError for a wrong sum."""
    tensor = torch.empty(size // 4, device=accelerator.device)

    def reduce() -> None:
        tensor.fill_(accelerator.process_index + 1)
        distributed.all_reduce(tensor)
        wait_for(tensor)

    seconds = shortest(reduce, tries=_TRIES)
    expected = accelerator.num_processes * (accelerator.num_processes + 1) / 2
    if not bool((tensor == expected).all()):
        raise InputError(
            "all-reduce",
            value=f"a sum of {float(tensor[0]):g}",
            expected=f"{expected:g}",
            remedy="Leave this node or its network out.",
        )
    return seconds


def _multiply_bf16(device: torch.device) -> bool:
    """Return whether the device has bf16 of its own; raises RuntimeError where it has none."""
    ones = torch.ones(64, 64, device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        product = ones @ ones
    if product.dtype != torch.bfloat16 or float(product[0, 0]) != len(ones):
        raise RuntimeError(f"64 ones add up to {float(product[0, 0])} in {product.dtype}")
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def _available(total: int) -> int:
    """Return the bytes of the machine's memory that programs can still take."""
    path = Path("/proc/meminfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return found[0] * 1024 if found else total

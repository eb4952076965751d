"""The peak of a device: how fast it multiplies large matrices, measured."""

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

_SIZES = {"cuda": 8192, "cpu": 1024}
_CALLS = {"cuda": 10, "cpu": 1}
_SMALLEST_SIZE = 1024
_TRIES = 5


@cache
def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the best of several measurements, in floating-point operations per second.

    Square matrices of 8192 rows on a GPU and of 1024 elsewhere, of normal random numbers, which
    cost a GPU more power than zeros. Measured once in a process, with the threads and the
    precision of multiplications (TF32) that are set at that time. No global random number is drawn.
    """
    size = _SIZES.get(device.type, _SMALLEST_SIZE)
    generator = torch.Generator(device).manual_seed(0)
    first, second = (
        torch.randn(size, size, device=device, generator=generator).to(dtype) for _ in range(2)
    )
    product = torch.empty_like(first)
    calls = _CALLS.get(device.type, 1)

    def multiply() -> None:
        for _ in range(calls):
            torch.mm(first, second, out=product)
        wait_for(product)

    return 2 * size**3 * calls / shortest(multiply)


def shortest(
    work: Callable[[], object],
    *,
    tries: int = _TRIES,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the seconds of the fastest of some calls, after one that is not counted."""
    work()
    seconds = []
    for _ in range(tries):
        started = clock()
        work()
        seconds.append(clock() - started)
    return min(seconds)


def wait_for(result: Tensor) -> None:
    """Wait until a GPU has computed a tensor, and all before it."""
    if result.device.type == "cuda":
        torch.cuda.synchronize(result.device)

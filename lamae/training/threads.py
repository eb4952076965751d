"""Cores that a process computes with where there is no GPU."""

import os

import torch
from accelerate import Accelerator

from lamae.runs.cores import available_cores


def use_cores(accelerator: Accelerator, threads: int | None) -> int:
    """Compute with `threads`, or with an equal share of this machine's cores; return how many.

    `accelerate launch` sets OMP_NUM_THREADS to 1 where a user has not set it, so that a process
    on a machine without GPU would leave all cores but one idle; a higher value is the user's.
    """
    if accelerator.device.type != "cpu":
        return torch.get_num_threads()
    if threads is None:
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        share = available_cores() // processes
        threads = max(share, torch.get_num_threads())
    torch.set_num_threads(threads)
    return threads

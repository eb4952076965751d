"""The machine of this process: its name, and the cores that it may use."""

import os
import socket


def node_name() -> str:
    """Return the name of the machine: the one that SLURM gives it, in a job."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def available_cores() -> int:
    """Return the cores that this process may use, or all of the machine where none can tell."""
    if hasattr(os, "sched_getaffinity"):  # Linux; elsewhere there is no such function
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

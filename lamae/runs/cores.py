"""Cores that this process may use."""

import os


def available_cores() -> int:
    """Return the cores that this process may use, or all of the machine where none can tell."""
    if hasattr(os, "sched_getaffinity"):  # Linux; elsewhere there is no such function
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""How many cores a process computes with."""

import os
from collections.abc import Iterator

import pytest
import torch
from accelerate import Accelerator

from lamae.threads import use_cores


@pytest.fixture
def accelerator() -> Iterator[Accelerator]:
    before = torch.get_num_threads()
    yield Accelerator(cpu=True)
    torch.set_num_threads(before)


def test_a_process_alone_takes_all_cores_although_the_launcher_says_one(
    accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert use_cores(accelerator, None) == len(os.sched_getaffinity(0)) == torch.get_num_threads()


def test_processes_share_the_cores(
    accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(len(os.sched_getaffinity(0))))
    assert use_cores(accelerator, None) == 1 == torch.get_num_threads()


def test_what_a_user_asks_for_comes_first(
    accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert use_cores(accelerator, None) >= 3
    assert use_cores(accelerator, 2) == 2 == torch.get_num_threads()

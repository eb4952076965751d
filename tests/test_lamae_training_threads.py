"""How many cores a process computes with."""

from collections.abc import Iterator

import pytest
import torch
from accelerate import Accelerator

from lamae.runs.cores import available_cores
from lamae.training.threads import use_cores


@pytest.fixture
def accelerator() -> Iterator[Accelerator]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as torch starts where the launcher has set OMP_NUM_THREADS to 1
    yield Accelerator(cpu=True)
    torch.set_num_threads(before)


def test_a_process_alone_takes_all_cores_although_the_launcher_says_one(
    accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert use_cores(accelerator, None) == available_cores() == torch.get_num_threads()


def test_processes_share_the_cores(
    accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(available_cores()))
    assert use_cores(accelerator, None) == 1 == torch.get_num_threads()


def test_what_a_user_asks_for_comes_first(accelerator: Accelerator) -> None:
    torch.set_num_threads(available_cores() + 1)
    assert use_cores(accelerator, None) == available_cores() + 1
    assert use_cores(accelerator, 2) == 2 == torch.get_num_threads()

"""Memory of a machine: shared by its processes, given its size once, and never left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamae.batches.node_memory import NodeMemory
from lamae.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path("/dev/shm")
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="needs Linux's shared memory")

PROCESS = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
import numpy as np
from torch import distributed
from lamae.batches.node_memory import NodeMemory
from pretrain.processes.stopping import Agreement

rank, processes, rendezvous, action = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
distributed.init_process_group(
    "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=processes,
    timeout=timedelta(seconds=60),
)
agreement = Agreement(timeout=timedelta(seconds=60))
node = NodeMemory(agreement.gather, agreement.raise_together)
numbers, done = node.arrays(((processes, 1 << 20), np.int64), (processes, np.bool))
with node.together():
    assert not numbers.any() and node.processes == processes
with node.together():
    numbers[node.number] = rank + 1
    done[node.number] = True
if action == "wait":
    print("held", flush=True)
    time.sleep(60)
found = [line for line in Path("/proc/self/smaps_rollup").read_text().splitlines()]
kb = {line.split(":")[0]: int(line.split()[1]) for line in found[1:]}
with node.together():
    print(numbers[:, -1].tolist(), done.all(), kb["Pss_Shmem"], flush=True)
distributed.destroy_process_group()
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], list["subprocess.Popen[str]"]]]:
    """Return a function that starts three processes which share memory."""
    started: list[subprocess.Popen[str]] = []

    def run(action: str) -> list["subprocess.Popen[str]"]:
        rendezvous = str(tmp_path / f"rendezvous-{len(started)}")
        for rank in range(3):
            command = [sys.executable, "-c", PROCESS, str(rank), "3", rendezvous, action]
            environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            pipe = subprocess.PIPE
            started.append(subprocess.Popen(command, env=environment, stdout=pipe, text=True))
        return started

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def ours() -> set[Path]:
    """Return the files of ours in shared memory that are not empty."""
    return {path for path in SHARED.glob("lamae-ram-*") if path.stat().st_size}


def test_what_each_process_writes_all_of_a_machine_read_and_it_is_there_once(
    start: Callable[[str], list["subprocess.Popen[str]"]],
) -> None:
    kilobytes = []
    for process in start("end"):
        found, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert found.startswith("[1, 2, 3] True"), found
        kilobytes.append(int(found.split()[-1]))
    assert sum(kilobytes) < 1.2 * 3 * 8 * 1024  # three rows of 8 MiB, once for all


@pytest.mark.slow
def test_nothing_stays_behind_when_processes_are_killed(
    start: Callable[[str], list["subprocess.Popen[str]"]],
) -> None:
    before = set(SHARED.glob("lamae-ram-*"))
    processes = start("wait")
    for process in processes:
        assert process.stdout and process.stdout.readline() == "held\n"
    assert set(SHARED.glob("lamae-ram-*")) <= before  # no name, while the memory is in use
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not ours()


class Alone:
    """The only process of a run, or one that believes to have others on its machine."""

    def __init__(self, others: int = 0) -> None:
        self._others = others

    def gather(self, found: Any) -> list[Any]:
        return [found, *[(found[0], f"other-{n}") for n in range(self._others)]]

    def raise_together(self, error: Exception | None) -> None:
        if error is not None:
            raise error


def test_too_little_room_is_an_error_that_says_how_much_is_needed_and_free() -> None:
    two = Alone(others=1)
    node = NodeMemory(two.gather, two.raise_together)
    message = r"residency=ram in /dev/shm: [\d.]+ GB free; expected 1125899\.\d+ GB, once for this"
    with pytest.raises(InputError, match=rf"{message}.*--shm-size.*residency=stream"):
        node.arrays((2**50, np.uint8))
    assert not ours()


def test_a_machine_without_shared_memory_is_an_error_that_says_so(tmp_path: Path) -> None:
    two = Alone(others=1)
    node = NodeMemory(two.gather, two.raise_together, folder=tmp_path / "missing")
    with pytest.raises(InputError, match=r"shared memory .*missing: .*residency=stream"):
        node.arrays((8, np.uint8))


def test_the_only_process_of_a_machine_needs_no_file(tmp_path: Path) -> None:
    node = NodeMemory(Alone().gather, Alone().raise_together, folder=tmp_path / "missing")
    flags, numbers, empty = node.arrays((3, np.bool), ((2, 5), np.int16), (0, np.int16))
    numbers[1] = 7
    assert not flags.any() and empty.size == 0
    assert numbers.tolist() == [[0] * 5, [7] * 5]
    assert not list(tmp_path.iterdir())

"""Jobs of slurm/pretrain.sbatch in a real SLURM begin with a check, which a bad node does not pass.

A node is bad where a module that Python imports at its start says that it has a GPU: torch finds
none there.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lamae.runs.run_folder import RUN
from pretrain.processes.check.table import BAD_NODES

pytestmark = pytest.mark.slow

Slurm = Callable[..., str]
JOB = "slurm/pretrain.sbatch"
BAD_NODE = """
import os
if os.environ.get("SLURMD_NODENAME") == "n0":
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
"""


def ended(slurm: Slurm, number: str) -> dict[str, str]:
    """Wait for the end of a job; return what SLURM says of it."""
    deadline = time.monotonic() + 900
    while True:
        words = slurm("scontrol", "show", "job", "-o", number).split()
        shown = dict(word.split("=", 1) for word in words if "=" in word)
        if shown["JobState"] in ("COMPLETED", "FAILED", "CANCELLED"):
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.5)


@pytest.fixture
def config(tmp_path: Path, simulated_shards: Path, tiny_values: dict[str, Any]) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_values | {"data": str(simulated_shards)}))
    return path


def submit(slurm: Slurm, config: Path, *options: str, **environment: str) -> str:
    folder = config.parent
    words = ["sbatch", "--parsable", f"--output={folder / 'log'}", JOB, config]
    return slurm(*words, f"run_dir={folder / 'run'}", *options, **environment)


def test_a_job_checks_before_it_trains_unless_that_is_left_out(slurm: Slurm, config: Path) -> None:
    log = config.parent / "log"
    shown = ended(slurm, submit(slurm, config))
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "0"), log.read_text()
    before, _, after = log.read_text().partition("pass  duration")
    assert "pass  devices" in before and "8 steps, validation loss" in after
    log.unlink()
    changes = ("resume=true", "steps=9")
    shown = ended(slurm, submit(slurm, config, *changes, SKIP_CHECK="1"))
    assert shown["JobState"] == "COMPLETED"
    assert "9 steps, validation loss" in log.read_text() and "devices" not in log.read_text()


def test_a_job_whose_check_fails_everywhere_is_not_requeued(slurm: Slurm, config: Path) -> None:
    shown = ended(slurm, submit(slurm, config, f"data={config.parent / 'none'}"))
    assert (shown["JobState"], shown["Restarts"]) == ("FAILED", "0")
    log = (config.parent / "log").read_text()
    assert "fail  shards" in log and BAD_NODES not in log
    assert not (config.parent / "run").exists()


def test_a_job_goes_on_without_the_node_that_fails_its_check(slurm: Slurm, config: Path) -> None:
    stand_in = config.parent / "stand_in"
    stand_in.mkdir()
    (stand_in / "sitecustomize.py").write_text(BAD_NODE)
    shown = ended(slurm, submit(slurm, config, PYTHONPATH=str(stand_in)))
    log = (config.parent / "log").read_text()
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "1"), log
    assert (shown["ExcNodeList"], shown["BatchHost"]) == ("n0", "n1")
    assert "bad nodes: n0" in log and "goes on without n0" in log
    assert (config.parent / "run" / RUN).is_file()

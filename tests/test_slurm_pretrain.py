"""Jobs of slurm/pretrain.sbatch in a real SLURM: whatever ends them, the run ends as it would have.

Runs are slow only in the log: a stand-in for wandb holds them in step 6 until a gate is opened, and
then makes each step last a second, so no test depends on the speed of the machine.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from lamae.runs.run_folder import OPTIMIZER, RESUME, STOP, WEIGHTS, newest_intact
from lamae.runs.tracking import read_metrics

pytestmark = pytest.mark.slow

Slurm = Callable[..., str]
JOB = "slurm/pretrain.sbatch"
GATED_WANDB = """
import time
from pathlib import Path

class Run:
    def __init__(self, folder):
        self.gate = Path(folder).parent / "gate"

    def define_metric(self, *_, **__):
        pass

    def log(self, row):
        if row["step"] == 6:
            self.gate.with_name("held").touch()
            while not self.gate.exists():
                time.sleep(0.1)
        time.sleep(row["step"] > 6)

    def finish(self):
        pass

def init(*, dir, **_):
    return Run(dir)
"""


def until(holds: Callable[[], object], deadline_s: float = 600) -> None:
    deadline = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < deadline, f"did not come to hold within {deadline_s} s"
        time.sleep(0.1)


class Job(NamedTuple):
    """A job, and the run that it trains."""

    slurm: Slurm
    number: str
    run: Path
    log: Path

    def shown(self) -> dict[str, str]:
        """What SLURM says of it."""
        words = self.slurm("scontrol", "show", "job", "-o", self.number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def until(self, **wanted: str) -> None:
        """Wait until SLURM says so."""
        ended = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}

        def holds() -> bool:
            shown = self.shown()
            if wanted.items() <= shown.items():
                return True
            assert shown["JobState"] not in ended, f"{shown}\n{self.log.read_text()}"
            return False

        until(holds)

    def at_the_gate(self) -> None:
        """Wait until the run is held in step 6."""
        held = self.run.parent / "held"
        until(held.exists)
        held.unlink()

    def open_the_gate(self) -> None:
        (self.run.parent / "gate").touch()


Submit = Callable[..., Job]


def submission(slurm: Slurm, folder: Path, shards: Path, values: dict[str, Any]) -> Submit:
    """Return a function that submits a run of eight steps with sbatch's options and changes."""
    stand_in, config = folder / "stand_in", folder / "tiny.yaml"
    stand_in.mkdir()
    (stand_in / "wandb.py").write_text(GATED_WANDB)
    config.write_text(yaml.safe_dump(values | {"data": str(shards)}))

    def start(
        *options: str, changes: tuple[str, ...] = (), gated: bool = True, **environment: str
    ) -> Job:
        run, log = folder / "run", folder / "log"
        words = ["sbatch", "--parsable", f"--output={log}", *options, JOB, config, f"run_dir={run}"]
        if gated:
            words.append("tracking.wandb_project=any")
        environment = {"SKIP_CHECK": "1"} | environment  # tests/test_slurm_check.py is on that
        number = slurm(*words, *changes, PYTHONPATH=str(stand_in), **environment)
        return Job(slurm, number, run, log)

    return start


@pytest.fixture
def submit(
    slurm: Slurm, tmp_path: Path, simulated_shards: Path, tiny_values: dict[str, Any]
) -> Submit:
    return submission(slurm, tmp_path, simulated_shards, tiny_values)


@pytest.fixture(scope="module")
def of_two_nodes(
    slurm: Slurm,
    tmp_path_factory: pytest.TempPathFactory,
    simulated_shards: Path,
    tiny_values: dict[str, Any],
) -> Job:
    """Train on two nodes without interruption."""
    folder = tmp_path_factory.mktemp("two_nodes")
    job = submission(slurm, folder, simulated_shards, tiny_values)("--nodes=2", gated=False)
    job.until(JobState="COMPLETED", Restarts="0")
    return job


def final(run: Path) -> list[bytes]:
    files = (f"model/{WEIGHTS}", f"checkpoints/step-00000008/{OPTIMIZER}")
    return [(run / name).read_bytes() for name in files]


def losses(run: Path) -> dict[float, float]:
    rows = [row for row in read_metrics(run) if "train/loss" in row]
    assert [row["step"] for row in rows] == list(range(1, 9))
    return {row["step"]: row["train/loss"] for row in rows}


def attempts(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((run / "attempts").iterdir())]


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def test_a_job_trains_as_the_program_does_and_ends(submit: Submit, pretrained_run: Path) -> None:
    job = submit(gated=False)
    job.until(JobState="COMPLETED", Restarts="0", ExitCode="0:0")
    assert final(job.run) == final(pretrained_run)
    assert len(attempts(job.run)) == summary(job.run)["processes"] == 1


def test_shards_come_to_a_disk_of_the_node_where_one_is_named(
    submit: Submit, pretrained_run: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk of the node"
    job = submit(gated=False, NODE_CACHE="$SITE_TMPDIR", SITE_TMPDIR=str(disk))
    job.until(JobState="COMPLETED", Restarts="0")
    assert final(job.run) == final(pretrained_run)
    assert summary(job.run)["config"]["cache"] == str(disk)
    assert len([path for path in disk.iterdir() if len(path.name) == 64]) == 3  # index, two shards


def test_two_nodes_train_as_one_process_does(of_two_nodes: Job, pretrained_run: Path) -> None:
    assert of_two_nodes.shown()["NumNodes"] == "2"
    assert summary(of_two_nodes.run)["processes"] == 2
    assert losses(of_two_nodes.run) == pytest.approx(losses(pretrained_run), rel=1e-5)


def test_the_tasks_of_a_node_without_gpu_are_its_processes(
    submit: Submit, of_two_nodes: Job
) -> None:
    job = submit("--ntasks-per-node=2", gated=False)
    job.until(JobState="COMPLETED", NumNodes="1")
    assert summary(job.run)["processes"] == 2
    assert final(job.run) == final(of_two_nodes.run)


def test_a_job_near_its_time_limit_saves_is_requeued_and_ends_as_if_it_had_not_been(
    submit: Submit, pretrained_run: Path
) -> None:
    job = submit("--time=5")  # SLURM warns 300 s ahead, as the job file says
    job.at_the_gate()
    until((job.run / STOP).exists)
    job.slurm("scontrol", "update", f"JobId={job.number}", "TimeLimit=60")
    job.open_the_gate()
    job.until(JobState="COMPLETED", ExitCode="0:0")
    assert int(job.shown()["Restarts"]) >= 1  # more where it was warned before the gate as well
    assert summary(job.run)["first_step"] in {6, 7}
    assert final(job.run) == final(pretrained_run)
    assert losses(job.run) == losses(pretrained_run)
    assert "stopped after" in job.log.read_text()  # of the first attempt, and that of the second
    assert "8 steps, validation loss" in job.log.read_text()


@pytest.mark.parametrize("mode", ["REQUEUE", "CANCEL"])
def test_a_preempted_job_saves_and_goes_on_when_the_other_has_ended(
    submit: Submit, of_two_nodes: Job, mode: str
) -> None:
    of_two_nodes.slurm("scontrol", "update", "PartitionName=low", f"PreemptMode={mode}")
    job = submit("--nodes=2")
    job.at_the_gate()
    urgent = ["--partition=high", "--nodes=3", "--exclusive", "--output=/dev/null", "--wrap=true"]
    other = job._replace(number=job.slurm("sbatch", "--parsable", *urgent))
    until(lambda: job.shown()["PreemptTime"] != "None")
    job.open_the_gate()
    job.until(Restarts="1")
    assert json.loads((job.run / RESUME).read_text())["reason"] == "received SIGTERM"
    other.until(JobState="COMPLETED")
    job.until(JobState="COMPLETED", Restarts="1")
    assert summary(job.run)["first_step"] in {6, 7}
    assert final(job.run) == final(of_two_nodes.run)


def processes_of(job: Job) -> dict[str, int]:
    """Return the processes that train, by rank."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "environ").read_bytes().decode(errors="ignore").split("\0")
            program = (folder / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        values = dict(word.split("=", 1) for word in words if "=" in word)
        ours = values.get("SLURM_JOB_ID") == job.number and "RANK" in values
        if ours and b"pretrain/main.py" in program:
            found[values["RANK"]] = int(folder.name)
    return found


def test_a_killed_process_ends_the_job_at_once_and_a_lost_node_requeues_the_next(
    submit: Submit, of_two_nodes: Job
) -> None:
    job = submit("--nodes=2")
    job.at_the_gate()
    os.kill(processes_of(job)["1"], signal.SIGKILL)
    job.until(JobState="FAILED", Restarts="0")
    intact = newest_intact(job.run)
    assert intact and intact.name == "step-00000004"
    assert not (job.run / RESUME).exists() and not (job.run / "model").exists()

    again = submit("--nodes=2", changes=("resume=true",))
    again.at_the_gate()
    lost = again.shown()["BatchHost"]
    again.slurm("scontrol", "update", f"NodeName={lost}", "State=DOWN", "Reason=test")
    again.until(Restarts="1")
    again.at_the_gate()
    assert again.shown()["BatchHost"] != lost
    again.open_the_gate()
    again.until(JobState="COMPLETED", Restarts="1")
    again.slurm("scontrol", "update", f"NodeName={lost}", "State=RESUME")
    assert (len(attempts(job.run)), summary(job.run)["first_step"]) == (3, 4)
    assert final(job.run) == final(of_two_nodes.run)


@pytest.mark.parametrize("change", ["batch_size=none", "lr=1.0e+30"])
def test_a_job_that_fails_for_a_reason_of_its_own_is_not_requeued(
    submit: Submit, change: str
) -> None:
    job = submit(changes=(change,), gated=False)
    job.until(JobState="FAILED", Restarts="0", Reason="NonZeroExitCode")
    assert not (job.run / RESUME).exists() and not (job.run / "model").exists()


def test_a_job_that_gains_no_step_is_not_requeued_again(submit: Submit) -> None:
    job = submit(changes=("max_hours=1e-9",), gated=False)
    job.until(Restarts="1")
    shutil.rmtree(job.run / "checkpoints")  # so that the next attempt gets as far, and no further
    job.until(JobState="FAILED", Restarts="1", ExitCode="1:0")
    assert json.loads((job.run / RESUME).read_text())["step"] == 1
    assert len(attempts(job.run)) == 2

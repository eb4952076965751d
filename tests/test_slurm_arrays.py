"""Array jobs in a real SLURM: parts of a corpus, runs of a sweep, and the chain of all jobs."""

import csv
import fcntl
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lamae.runs.run_folder import WEIGHTS
from lamae.runs.tracking import read_summary
from lamae.storage.corpus import INDEX, Corpus
from shards.build.run import build_shards
from shards.settings import ShardsSettings

pytestmark = pytest.mark.slow

Slurm = Callable[..., str]
PENDING = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}


def shown(slurm: Slurm, number: str) -> dict[str, dict[str, str]]:
    """Return what SLURM says of a job, or of each task of an array, by task."""
    jobs = [
        dict(word.split("=", 1) for word in line.split() if "=" in word)
        for line in slurm("scontrol", "show", "job", "-o", number).splitlines()
    ]
    return {job.get("ArrayTaskId", ""): job for job in jobs}


def ended(slurm: Slurm, *numbers: str) -> dict[str, str]:
    """Wait for jobs to end; return their states, or those of their tasks."""
    deadline = time.monotonic() + 900
    while True:
        found = {
            f"{number}_{task}".rstrip("_"): job["JobState"]
            for number in numbers
            for task, job in shown(slurm, number).items()
        }
        if not PENDING & set(found.values()):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_parts_are_built_as_an_array_and_one_that_failed_is_given_again(
    slurm: Slurm, recordings: Path, tmp_path: Path
) -> None:
    wanted = {"source_kind": "mimic_iv_ecg", "shard_records": 4, "workers": 1}
    config = tmp_path / "shards.yaml"
    config.write_text(yaml.safe_dump(wanted))
    whole, output = tmp_path / "whole", tmp_path / "shards"
    given = {"source": recordings, "output": whole}
    build_shards(ShardsSettings.model_validate(wanted | given))

    job = ["slurm/shards.sbatch", config, f"source={recordings}", f"output={output}"]
    options = ["sbatch", "--parsable", "--cpus-per-task=1"]
    logs = f"--output={tmp_path}/%x-%A_%a.log"
    (output / ".building").mkdir(parents=True)
    with (output / ".building" / "part-1.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as if another process were building this part
        first = slurm(*options, logs, "--array=0-2", *job)
        depending = ["--kill-on-invalid-dep=yes", f"--dependency=afterok:{first}"]
        merge = slurm(
            *options, *depending, f"--output={tmp_path}/merge", "slurm/merge.sbatch", output
        )
        states = {"0": "COMPLETED", "1": "FAILED", "2": "COMPLETED"}
        assert ended(slurm, first) == {f"{first}_{task}": s for task, s in states.items()}
        assert shown(slurm, first)["1"]["ExitCode"] == "2:0"
        assert ended(slurm, merge) == {merge: "CANCELLED"}
        assert not (output / INDEX).exists()

    again = slurm(*options, logs, "--array=1", *job, "parts=3")
    depending = [f"--dependency=afterok:{again}"]
    merge = slurm(*options, *depending, f"--output={tmp_path}/merge", "slurm/merge.sbatch", output)
    assert ended(slurm, merge) == {merge: "COMPLETED"}
    assert ended(slurm, again) == {f"{again}_1": "COMPLETED"}
    assert Corpus(output).digest == Corpus(whole).digest
    assert (output / INDEX).read_bytes() == (whole / INDEX).read_bytes()
    assert "22 of 22 records intact" in (tmp_path / "merge").read_text()


def test_one_command_leads_from_recordings_to_a_table_of_reports(
    slurm: Slurm, simulated_shards: Path, tmp_path: Path, tiny_values: dict[str, Any]
) -> None:
    recordings, output = simulated_shards.parent / "recordings", tmp_path / "output"
    split = {"train": 0.6, "val": 0.4, "test": 0.0}
    build = {"source_kind": "mimic_iv_ecg", "split": split, "shard_records": 16, "workers": 1}
    for name, values in (("shards", build), ("pretrain", tiny_values)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values))
    quick = "label_set=class multi_label=false resamples=50 l2_grid=[1.0] cpu_threads=1"
    runs = tmp_path / "runs.txt"
    runs.write_text(f"{quick} seed=0\n{quick} seed=1\n")
    resources = {f"{kind}_SBATCH": "--cpus-per-task=1" for kind in ("SHARDS", "FINETUNE")}
    configs = [tmp_path / "shards.yaml", tmp_path / "pretrain.yaml"]
    command = ["slurm/pipeline.sh", output, recordings, *configs, runs]

    jobs = dict(line.split() for line in slurm(*command, PARTS="2", **resources).splitlines())
    assert list(jobs) == ["shards", "merge", "pretrain", "finetune", "collect"]
    states = ended(slurm, *jobs.values())
    logs = "\n".join(path.read_text() for path in (output / "logs").iterdir())
    assert set(states.values()) == {"COMPLETED"} and len(states) == 2 + 1 + 1 + 2 + 1, logs

    assert len(Corpus(output / "shards")) == 96
    assert read_summary(output / "pretrain")["steps"] == 8
    with (output / "sweep" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["state"], row["seed"]) for row in rows] == [
        ("0", "finished", "0"),
        ("1", "finished", "1"),
    ]
    assert all(0 <= float(row["auroc_macro"]) <= 1 for row in rows)
    assert all("<svg" in (output / "sweep" / n / "report.html").read_text() for n in "01")

    weights = output / "pretrain" / "model" / WEIGHTS
    before = weights.read_bytes()
    shutil.rmtree(output / "sweep" / "1")
    jobs = dict(line.split() for line in slurm(*command, PARTS="2", **resources).splitlines())
    assert set(ended(slurm, *jobs.values()).values()) == {"COMPLETED"}
    assert weights.read_bytes() == before
    assert (output / "sweep" / "1" / "report.html").exists()

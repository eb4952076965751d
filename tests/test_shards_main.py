import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lamae.storage.corpus import MANIFEST

PROGRAM = Path(__file__).resolve().parents[1] / "shards" / "main.py"


def write_records(folder: Path, number: int) -> Path:
    """Write headers that share one signal file of 12 s at 100 Hz."""
    folder.mkdir()
    signal_ii = np.random.default_rng(0).integers(-99, 99, 1200)
    signal_ii.astype("<i2").tofile(folder / "r.dat")
    line = f"r.dat 16 200(0)/mV 16 0 0 {signal_ii.sum()} 0 II"
    for i in range(number):
        (folder / f"r{i}.hea").write_text(f"r{i} 1 100 1200\n{line}")
    return folder


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_program_says_what_it_wrote_what_it_rejected_and_where(tmp_path: Path) -> None:
    source = write_records(tmp_path / "source", 5)
    (source / "r3.hea").write_text("nonsense")
    done = run("source=source", "output=out", "split.train=1", "split.val=0", "split.test=0",
               "workers=1", "duplicates=keep", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "train: 4 records of 4 patients"
    assert "rejected 1: unreadable_header" in lines
    assert lines[-1].startswith("wrote 4 records") and lines[-1].endswith(f"out/{MANIFEST}")
    again = run("source=source", "output=out", cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.startswith(
        "error: output out: finished shards of another source, other settings"
    )
    verified = run("verify", "out", cwd=tmp_path)
    assert verified.returncode == 0 and verified.stdout.startswith("4 of 4 records intact")
    described = run("describe", "out", cwd=tmp_path)
    assert described.stdout.splitlines()[0] == "4 records of 4 patients, 0.013 hours"
    assert (tmp_path / described.stdout.splitlines()[-1].removeprefix("page: ")).is_file()


def test_damage_ends_verify_with_1_and_names_the_records(tmp_path: Path) -> None:
    write_records(tmp_path / "source", 3)
    run("source=source", "output=out", "duplicates=keep", "workers=1", "split.train=1",
        "split.val=0", "split.test=0", cwd=tmp_path)  # fmt: skip
    tar = tmp_path / "out" / "train-000000.tar"
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 3])
    done = run("verify", "out", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.endswith("problems in out\n")
    assert "train-000000.tar" in done.stdout and "r2" in done.stdout


@pytest.mark.slow
def test_parts_are_built_and_merged_by_commands(tmp_path: Path) -> None:
    write_records(tmp_path / "source", 6)
    common = ("source=source", "output=out", "workers=1", "shard_records=2", "duplicates=keep")
    first = run(*common, "part=0", "parts=2", cwd=tmp_path)
    assert "shards of other parts are missing" in first.stdout
    early = run("merge", "output=out", cwd=tmp_path)
    assert early.returncode == 2 and "shards missing" in early.stderr
    second = run(*common, "part=1", "parts=2", cwd=tmp_path)
    assert second.stdout.splitlines()[-1].endswith("python shards/main.py merge output=out")
    merged = run("merge", "output=out", cwd=tmp_path)
    assert merged.stdout.splitlines()[-1].startswith("wrote 6 records")


def test_an_unknown_key_ends_with_2_and_the_nearest_key(tmp_path: Path) -> None:
    done = run("sorce=a", "output=b", cwd=tmp_path)
    assert done.returncode == 2
    assert "sorce: unknown key. Did you mean source?" in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_shows_the_commands(tmp_path: Path) -> None:
    done = run("simulate", "-h", cwd=tmp_path)
    assert done.returncode == 0 and "python shards/main.py" in done.stdout


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell ignores it in what it runs with `&`


BUILD = ("source=source", "output=out", "workers=2", "shard_records=500", "duplicates=keep")


def start_and_wait_for_a_shard(folder: Path) -> subprocess.Popen[str]:
    write_records(folder / "source", 4000)
    command = [sys.executable, str(PROGRAM), *BUILD]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )
    started = time.monotonic()
    while not list((folder / "out" / ".building").glob("*.tar.partial")):
        assert process.poll() is None and time.monotonic() - started < 60
        time.sleep(0.01)
    return process


def end_of(process: subprocess.Popen[str]) -> str:
    """Return what the program says before it ends; it has 20 s for that."""
    try:
        return process.communicate(timeout=20)[1].strip()
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_one_line_and_the_build_goes_on(tmp_path: Path) -> None:
    with start_and_wait_for_a_shard(tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
        said = end_of(process)
    assert process.returncode == 130
    assert said == "interrupted: give the same command to go on"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".building"]
    done = run(*BUILD, cwd=tmp_path)
    assert done.stdout.splitlines()[-1].startswith("wrote 4000 records"), done.stderr


@pytest.mark.slow
def test_a_killed_process_ends_the_run_with_a_reason(tmp_path: Path) -> None:
    with start_and_wait_for_a_shard(tmp_path) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [c for c in children if "spawn_main" in Path(f"/proc/{c}/cmdline").read_text()]
        assert workers
        os.kill(int(workers[0]), signal.SIGKILL)
        said = end_of(process)
    assert process.returncode == 2
    assert said.startswith("error: a working process was killed")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".building"]

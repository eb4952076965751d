"""Full, read-only and removed disks: every program says so in a line, and ends."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, zeros

from lamae.command_line import run_program
from lamae.commands import find
from lamae.config import as_yaml
from lamae.errors import InputError
from lamae.faults import fault, fault_number
from lamae.files import open_whole, write_json
from lamae.model.model_folder import write_folder
from lamae.runs.run_folder import checkpoints, step_of
from lamae.runs.tracking import MetricsLog
from pretrain.progress import Progress
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings

ROOT = Path(__file__).resolve().parents[1]
MountDisk = Callable[[str], Path]
SIMULATE = ("simulate", "records=40", "workers=1", "seed=1")


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[MountDisk]:
    """Return a function that mounts a disk in memory, by options such as `size=64k` or `ro`.

    Skips the test where this user may not mount.
    """
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs the right to mount a disk in memory")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def said(capsys: pytest.CaptureFixture[str], program: str, *arguments: str) -> str:
    """Run a program that is to end with exit status 2; return the one line that it says."""
    with pytest.raises(SystemExit) as ended:
        run_program(find(f"{program}.main:PROGRAM"), arguments)
    assert ended.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "%|" not in line]
    (line,) = filter(None, lines)
    return line


@pytest.mark.parametrize(
    ("options", "value", "remedy"),
    [
        ("size=64k", "No space left on device", "Make room, then give the same command"),
        ("ro", "Read-only file system", "Get permission, or name another folder"),
    ],
)
def test_a_full_or_read_only_disk_is_one_line_and_leaves_nothing_in_part(
    capsys: pytest.CaptureFixture[str],
    mount_disk: MountDisk,
    options: str,
    value: str,
    remedy: str,
) -> None:
    disk = mount_disk(options)
    line = said(capsys, "shards", *SIMULATE, f"output={disk / 'recordings'}")
    assert line.startswith(f"error: {disk / 'recordings'}")
    assert value in line
    assert remedy in line
    assert not list(disk.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("options", ["size=4k", "size=40k", "ro"])
def test_a_page_or_export_that_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str],
    mount_disk: MountDisk,
    simulated_shards: Path,
    options: str,
) -> None:
    disk = mount_disk(options)
    for verb, output in (("describe", "page"), ("export", "file.h5")):
        line = said(capsys, "shards", verb, f"data={simulated_shards}", f"output={disk / output}")
        assert "Read-only" in line or "No space left on device; expected room" in line


def test_a_folder_below_a_file_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    line = said(capsys, "shards", *SIMULATE, f"output={tmp_path / 'file' / 'recordings'}")
    assert "File exists; expected a free name" in line


def test_a_file_on_a_full_disk_is_named_and_the_former_kept(mount_disk: MountDisk) -> None:
    path = mount_disk("size=16k") / "results.json"
    write_json(path, {"whole": 1})
    with pytest.raises(OSError, match="No space left on device") as full:
        write_json(path, {"much": "x" * 100_000})
    assert full.value.filename == str(path)
    assert path.read_text() == '{\n  "whole": 1\n}\n'
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_file_whose_folder_is_removed_meanwhile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run" / "results.json"
    with pytest.raises(FileNotFoundError) as gone, open_whole(path) as file:
        file.write(b"{}")
        path.with_name("results.json.partial").unlink()
        path.parent.rmdir()
    assert str(path) in str(gone.value)


def test_weights_on_a_full_disk_are_an_error_of_the_system(mount_disk: MountDisk) -> None:
    disk = mount_disk("size=16k")
    with pytest.raises(OSError, match="No space left") as full:
        write_folder(disk, tensors={"weights": {"a": zeros(100_000)}}, documents={})
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(disk / "weights"))


def test_the_number_of_a_fault_is_read_where_a_library_leaves_it_in_its_text(
    mount_disk: MountDisk,
) -> None:
    disk = mount_disk("size=16k")
    with pytest.raises(SafetensorError) as of_safetensors:
        save_file({"a": zeros(100_000)}, disk / "weights")
    assert fault_number(of_safetensors.value) == errno.ENOSPC
    of_hdf5 = OSError("file write failed: errno = 28, error message = 'No space left on device'")
    assert fault_number(of_hdf5) == errno.ENOSPC
    assert fault_number(ValueError("28")) is None


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EDQUOT, errno.EMFILE])
def test_every_fault_has_a_remedy(number: int) -> None:
    text = str(fault(OSError(number, ""), "/disk/x", afterwards="go on"))
    assert text.startswith(f"/disk/x: {os.strerror(number)}; expected ")
    assert text.endswith(", then go on.")


def test_who_reads_only_the_first_line_ends_the_program_without_a_word() -> None:
    code = "from lamae.command_line import run_program; from lamae.commands import *\n" + (
        "import sys, types; m = types.ModuleType('lines'); sys.modules['lines'] = m\n"
        "m.run = lambda _: ('x' * 9999 for _ in range(999))\n"
        "verb = Verb('lamae.runs.tracking:TrackingSettings', 'lines:run', '', '')\n"
        "run_program(Program('', '', {'lines': verb}), ['wandb_project=null'])"
    )
    pipe = f'{sys.executable} -c "$CODE" | head -c 1; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", pipe], cwd=ROOT, env=os.environ | {"CODE": code}, capture_output=True
    )
    assert (done.stdout, done.stderr) == (b"x141\n", b"")


Launch = Callable[..., subprocess.CompletedProcess[str]]
MakeSettings = Callable[..., PretrainSettings]


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint_every", [1, 100], ids=["checkpoints", "logs"])
def test_two_processes_end_together_on_a_full_disk(
    make_settings: MakeSettings, launch: Launch, mount_disk: MountDisk, checkpoint_every: int
) -> None:
    disk = mount_disk("size=260k")
    if checkpoint_every > 1:
        (disk / "filling").write_bytes(bytes(220_000))
    settings = make_settings(run_dir=disk / "run", steps=100, checkpoint_every=checkpoint_every)
    config = disk.with_name("config.yaml")
    config.write_text(as_yaml(settings))
    full = launch("pretrain/main.py", str(config), processes=2)
    assert full.returncode == 1  # that of the launcher, which names those of both processes
    said = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
    (own,) = [line for line in said if "No space left on device; expected room" in line]
    assert str(settings.run_dir) in own
    assert "Make room, then give the same command, with resume=true" in own
    other = "error: another process of this run has failed; see its message"
    assert [line for line in said if line != own] == [other]
    assert "[rank" not in full.stderr


def test_a_run_whose_folder_is_taken_away_says_so_and_writes_nothing(
    make_settings: MakeSettings, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings()
    written = Progress.trained

    def trained(progress: Progress, results: dict[str, Tensor]) -> None:
        written(progress, results)
        shutil.rmtree(settings.run_dir, ignore_errors=True)

    monkeypatch.setattr(Progress, "trained", trained)
    with pytest.raises(InputError, match="its attempts are no longer there"):
        pretrain(settings, accelerator)
    assert not settings.run_dir.exists()


def test_a_fault_of_the_logs_ends_a_run_after_it_has_saved(
    make_settings: MakeSettings, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(checkpoint_every=100)

    def write(log: MetricsLog, step: int, scalars: dict[str, float]) -> None:
        if step == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.jsonl")

    monkeypatch.setattr(MetricsLog, "write", write)
    with pytest.raises(OSError, match="No space left on device"):
        pretrain(settings, accelerator)
    assert [step_of(folder) for folder in checkpoints(settings.run_dir)] == [3]

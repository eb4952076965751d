"""Shards and run folder: opened, read, written, and left as they were."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from accelerate import Accelerator

from lamae.errors import InputError
from lamae.runs.run_folder import newest_checkpoint
from pretrain.batches import Reader, step_batches
from pretrain.data import Corpora
from pretrain.processes.check.table import Line, failed, on_all, values
from pretrain.processes.stopping import Agreement
from pretrain.settings import PretrainSettings

_READ_S = 4.0
_LARGEST_PART = 32
_SEEN_WITHIN_S = 15.0
_LARGEST_FILE = 2**30
_BLOCK = 2**23


def reading(
    settings: PretrainSettings,
    accelerator: Accelerator,
    agreement: Agreement,
    corpora: Corpora,
    rates: list[float],
) -> Iterator[Line]:
    """Read recordings as the run would, for some seconds; append recordings a second of all."""
    part = min(settings.batch_size // (accelerator.num_processes * settings.accumulation),
               _LARGEST_PART)  # fmt: skip
    trial = settings.model_copy(
        update={
            "batch_size": part * accelerator.num_processes,
            "accumulation": 1,
            "residency": "stream",
        }
    )
    read = Reader(corpora.train, trial, accelerator.device)
    found = on_all(agreement, lambda: _rate(trial, accelerator, read, part))
    faults = list(failed("shards", found, ""))
    yield from faults
    if faults:
        return
    rates.append(sum(values(found)))
    yield Line(
        "pass",
        "shards",
        f"{rates[-1]:,.0f} recordings/s read by {len(found)} processes, in one thread each; "
        f"{len(corpora.train):,} recordings to train on",
    )


def run_folder(
    settings: PretrainSettings,
    accelerator: Accelerator,
    agreement: Agreement,
    *,
    checkpoint_bytes: int,
    speeds: list[float],
) -> Iterator[Line]:
    """Write a file as large as a checkpoint, let all processes see it, read it, and remove it.

    Appends bytes a second of writing.
    """
    folder, made = settings.run_dir, list[Path]()
    path = agreement.gather(folder / f".check-{uuid.uuid4().hex}")[0]
    size = min(checkpoint_bytes, _LARGEST_FILE)
    is_main = accelerator.is_main_process
    try:
        found = on_all(agreement, lambda: _write(settings, path, size, made) if is_main else 0.0)
        faults = list(failed("run folder", found))
        if not faults:
            seen = on_all(agreement, lambda: _see(path))
            remedy = "Name a folder on a file system that all nodes mount."
            faults = list(failed("run folder", seen, remedy))
        if not faults:
            read = on_all(agreement, lambda: _read(path) if is_main else 0.0)
            faults = list(failed("run folder", read))
    finally:
        if is_main:
            path.unlink(missing_ok=True)
            for each in reversed(made):
                each.rmdir()
    yield from (line._replace(bad_nodes=()) if not is_shared(line) else line for line in faults)
    if faults:
        return
    write, again = values(found)[0], values(read)[0]
    speeds.append(write)
    yield _of_speeds(settings, write, again, checkpoint_bytes, agreement)


def is_shared(line: Line) -> bool:
    """Return whether a fault of the run folder is one of a node that does not see it."""
    return "is not seen" in line.found


def _of_speeds(
    settings: PretrainSettings, write: float, read: float, size: int, agreement: Agreement
) -> Line:
    """Judge the run folder by its speeds, and by the room for the checkpoints that are kept."""
    free = agreement.gather(shutil.disk_usage(_existing(settings.run_dir)).free)[0]
    text = (
        f"written at {write / 1e6:,.0f} MB/s, read at {read / 1e6:,.0f}; a checkpoint "
        f"({size / 1e6:,.0f} MB) in {size / write:.2g} s; {free / 1e9:,.0f} GB free"
    )
    needed = (settings.retention.keep_last + 2) * size  # the best one, and one in the making
    if free < needed:
        remedy = f"Make room: the checkpoints that are kept need {needed / 1e9:,.1f} GB."
        return Line("fail", "run folder", text, remedy)
    return Line("pass", "run folder", text)


def _rate(settings: PretrainSettings, accelerator: Accelerator, read: Reader, part: int) -> float:
    """Return recordings that this process reads in a second."""
    step_batches(settings, accelerator, read, 0)  # opens what reading needs
    count, started = 0, time.perf_counter()
    for step in range(1, settings.steps + 1):
        step_batches(settings, accelerator, read, step)
        count += part
        if time.perf_counter() - started > _READ_S:
            break
    return count / (time.perf_counter() - started)


def _write(settings: PretrainSettings, path: Path, size: int, made: list[Path]) -> float:
    """Write a file; return bytes a second. Folders that it needs are added to `made`."""
    newest = newest_checkpoint(settings.run_dir)
    if newest and not settings.resume:
        raise InputError(
            f"run folder {settings.run_dir}",
            value=f"holds {newest.name}",
            expected="no checkpoint of another run",
            remedy="Give resume=true to go on with it, or another run_dir=.",
        )
    missing = [each for each in (path.parent, *path.parent.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir()
        made.append(each)
    block, started = os.urandom(min(_BLOCK, size)), time.perf_counter()
    with path.open("wb") as file:
        for first in range(0, size, len(block)):
            file.write(block[: size - first])
        file.flush()
        os.fsync(file.fileno())
    return size / (time.perf_counter() - started)


def _see(path: Path) -> bool:
    """Wait a while until a file is there; raises InputError where it does not come."""
    until = time.monotonic() + _SEEN_WITHIN_S
    while not path.exists():
        if time.monotonic() > until:
            raise InputError(
                f"run folder {path.parent}",
                value="what the first process wrote there is not seen",
                expected="one folder for all processes",
                remedy="",
            )
        time.sleep(0.2)
        if path.parent.is_dir():
            next(os.scandir(path.parent), None)  # a file system of a network looks again
    return True


def _read(path: Path) -> float:
    """Read a file, not from the page cache; return bytes a second."""
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        started = time.perf_counter()
        while file.read(_BLOCK):
            pass
    return size / (time.perf_counter() - started)


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())

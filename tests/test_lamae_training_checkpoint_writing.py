"""A checkpoint that several processes write, each its rows, is whole or is not there."""

import errno
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.model.checkpoint import load_autoencoder
from lamae.model.settings import AutoencoderSettings
from lamae.runs.checksums import write_checksums
from lamae.runs.run_folder import OPTIMIZER, WEIGHTS, Attempt, checkpoints, newest_intact
from lamae.runs.shard_index import SHARDS
from lamae.training import checkpoint_writing
from lamae.training.checkpoint_writing import Draft, draft, write_checkpoint
from lamae.training.host_copy import HostCopy
from lamae.training.optim import adamw, optimizer_tensors
from lamae.training.pieces import Piece
from lamae.training.tensor_file import write_tensors
from lamae.training.training_state import load_checkpoint

PREPROCESSOR = Preprocessor(sampling_rate=50, duration_s=4, band_hz=None)
State = tuple[LAMAE, torch.optim.Optimizer]


def make_state(seed: int) -> State:
    """Return a model and an optimiser with moments."""
    torch.manual_seed(seed)
    sizes = {"width": 8, "depth": 1, "heads": 2}
    settings = {"encoder": sizes | {"patch_size": 50, "latent_depth": 1}, "decoder": sizes}
    model = LAMAE(AutoencoderSettings.model_validate(settings))
    optimizer = adamw(model, lr=1e-3, weight_decay=0.1, betas=(0.9, 0.95))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return model, optimizer


class Threads:
    """Processes that are threads: the exchange of each."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=60)
        self.given: list[Any] = [None] * count

    def of(self, number: int) -> "Of":
        return Of(self, number)


class Of:
    def __init__(self, threads: Threads, number: int) -> None:
        self.threads, self.number = threads, number

    def gather(self, found: Any) -> list[Any]:
        self.threads.given[self.number] = found
        self.threads.barrier.wait()
        everything = list(self.threads.given)
        self.threads.barrier.wait()
        return everything

    def raise_together(self, error: Exception | None) -> None:
        failed = any(self.gather(error is not None))
        if error is not None:
            raise error
        if failed:
            raise ChildProcessError("another process of this run has failed")


def rows_of(whole: Draft, number: int, of: int) -> Draft:
    """Return the part of a process: rows as torch.chunk deals them, and all else for the first."""
    tensors: dict[str, dict[str, Piece]] = {}
    for file, pieces in whole.tensors.items():
        tensors[file] = {}
        for name, piece in pieces.items():
            if piece.shape:
                parts = piece.tensor.chunk(of)
                start = sum(len(part) for part in parts[:number])
                if number < len(parts):
                    tensors[file][name] = Piece(parts[number].contiguous(), piece.shape, start)
            elif number == 0:
                tensors[file][name] = piece
    return whole._replace(tensors=tensors, shard=(number, of))


def whole_draft(state: State, step: int) -> Draft:
    model, optimizer = state
    return draft(
        step=step,
        model=model,
        optimizer=optimizer,
        preprocessor=PREPROCESSOR,
        state={"note": "kept"},
        copies=HostCopy(),
    )


def save_by(count: int, run_dir: Path, state: State, attempt: Attempt, *, step: int = 3) -> Path:
    """Write a checkpoint by a number of threads, of which the first has the attempt."""
    threads, whole = Threads(count), whole_draft(state, step)

    def write(number: int) -> Path:
        return write_checkpoint(
            run_dir,
            rows_of(whole, number, count),
            attempt=None if number else attempt,
            exchange=threads.of(number),
        )

    with ThreadPoolExecutor(count) as pool:
        written = [pool.submit(write, number) for number in range(count)]
    failures = [error for future in written if (error := future.exception())]
    if failures:
        assert len(failures) == count, "all fail together"
        raise next(error for error in failures if not isinstance(error, ChildProcessError))
    return written[0].result()


@pytest.mark.parametrize("count", [2, 3, 30])
def test_the_parts_of_several_processes_are_a_checkpoint_that_one_reads(
    tmp_path: Path, count: int
) -> None:
    model, optimizer = make_state(0)
    folder = save_by(count, tmp_path, (model, optimizer), Attempt(tmp_path))
    assert newest_intact(tmp_path) == folder and not (folder / WEIGHTS).exists()
    other, moments = make_state(1)
    state = load_checkpoint(folder, model=other, optimizer=moments, preprocessor=PREPROCESSOR)
    assert state == {"step": 3, "attempt": 1, "note": "kept"}
    expected, found = model.state_dict(), other.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    before, after = optimizer_tensors(model, optimizer), optimizer_tensors(other, moments)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    alone = load_autoencoder(tmp_path).model.state_dict()
    assert all(torch.equal(alone[name], value) for name, value in expected.items())


def test_each_file_has_the_rows_of_its_process(tmp_path: Path) -> None:
    state = make_state(0)
    folder = save_by(2, tmp_path, state, Attempt(tmp_path))
    files = [load_file(folder / f"model-0000{n}-of-00002.safetensors") for n in (1, 2)]
    for name, value in state[0].state_dict().items():
        joined = torch.cat([file[name] for file in files if name in file])
        assert torch.equal(joined, value)
    assert (folder / "optimizer-00002-of-00002.safetensors").is_file()


def _spoil_rows(index: dict[str, Any]) -> None:
    index[WEIGHTS]["encoder.cls"]["rows"].pop()


def _spoil_twice(index: dict[str, Any]) -> None:
    index[OPTIMIZER]["exp_avg.encoder.cls"]["rows"][1][1] -= 1


def _spoil_shape(index: dict[str, Any]) -> None:
    index[WEIGHTS]["encoder.cls"]["shape"] = "8"


def _spoil_file(index: dict[str, Any]) -> None:
    index[WEIGHTS]["encoder.cls"]["rows"][0][0] = "../elsewhere"


def _spoil_unsealed(index: dict[str, Any]) -> None:
    index[WEIGHTS]["encoder.cls"]["rows"][0][0] = "elsewhere"


@pytest.mark.parametrize(
    "spoil", [_spoil_rows, _spoil_twice, _spoil_shape, _spoil_file, _spoil_unsealed]
)
def test_an_index_that_is_not_whole_is_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    folder = save_by(2, tmp_path, make_state(0), Attempt(tmp_path))
    index = json.loads((folder / SHARDS).read_text())
    spoil(index)
    (folder / SHARDS).write_text(json.dumps(index))
    write_checksums(folder)  # as whoever wrote it can
    model, optimizer = make_state(1)
    with pytest.raises(InputError, match=r"file \S+shards\.json: .*; expected"):
        load_checkpoint(folder, model=model, optimizer=optimizer, preprocessor=PREPROCESSOR)


@pytest.mark.parametrize("name", ["model-00002-of-00002.safetensors", SHARDS])
def test_a_flipped_bit_in_a_part_is_refused_and_the_checkpoint_before_taken(
    tmp_path: Path, name: str
) -> None:
    attempt = Attempt(tmp_path)
    before = save_by(2, tmp_path, make_state(0), attempt, step=2)
    folder = save_by(2, tmp_path, make_state(1), attempt)
    spoilt = bytearray((folder / name).read_bytes())
    spoilt[-10] ^= 1
    (folder / name).write_bytes(spoilt)
    model, optimizer = make_state(2)
    with pytest.raises(InputError, match=rf"file {name}: SHA-256"):
        load_checkpoint(folder, model=model, optimizer=optimizer, preprocessor=PREPROCESSOR)
    assert newest_intact(tmp_path) == before


@pytest.mark.parametrize("failing", [0, 1])
def test_where_one_process_cannot_write_all_raise_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    attempt = Attempt(tmp_path)

    def full(path: Path, tensors: Any) -> dict[str, Any]:
        if f"0000{failing + 1}-of" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write_tensors(path, tensors)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_writing, "write_tensors", full)
        with pytest.raises(OSError, match="No space left"):
            save_by(2, tmp_path, make_state(0), attempt)
    assert list((tmp_path / "checkpoints").iterdir()) == []
    save_by(2, tmp_path, make_state(0), attempt)
    assert len(checkpoints(tmp_path)) == 1


def test_copies_do_not_follow_what_is_trained_on(tmp_path: Path) -> None:
    model, optimizer = make_state(0)
    content = whole_draft((model, optimizer), 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    copied = content.tensors[WEIGHTS]
    assert all(torch.equal(copied[name].tensor, value) for name, value in before.items())

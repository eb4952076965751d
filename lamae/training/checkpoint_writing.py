"""Writing a checkpoint, whole or not at all, by one process or by all, each its part."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch

from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.files import empty_folder, publish, write_json
from lamae.model.autoencoder import LAMAE
from lamae.model.checkpoint import model_config
from lamae.runs.checksums import damage, read_checksums, write_checksums
from lamae.runs.run_folder import (
    AVERAGE,
    CHECKPOINT_FILES,
    CONFIG,
    STATE,
    Attempt,
    checkpoint_folder,
    files_of,
    partial_folder,
    sweep,
)
from lamae.runs.shard_index import SHARDS, Index, Place, Rows, index_document, shard_file
from lamae.training.host_copy import HostCopy
from lamae.training.pieces import Piece, pieces_of, pieces_of_state
from lamae.training.tensor_file import write_tensors

T = TypeVar("T")


@runtime_checkable
class Exchange(Protocol):
    """Lets the processes of a run tell each other what each has found, all at the same point."""

    def gather(self, found: Any) -> list[Any]:
        """Return what each process gives, in their order."""

    def raise_together(self, error: Exception | None) -> None:
        """Raise on every process where one has an error."""


class Alone:
    """The exchange of a process that has no others."""

    def gather(self, found: Any) -> list[Any]:
        """Return what it gives."""
        return [found]

    def raise_together(self, error: Exception | None) -> None:
        """Raise its error, if it has one."""
        if error is not None:
            raise error


class Draft(NamedTuple):
    """Part of a checkpoint that this process writes: copies, which training does not change."""

    step: int
    """Optimiser steps done."""
    documents: dict[str, dict[str, Any]]
    """JSON of the checkpoint, by file; the main process alone writes it."""
    tensors: dict[str, dict[str, Piece]]
    """Weights and optimiser state, by file and name; none where another process writes all."""
    shard: tuple[int, int] | None
    """Number of the process and of all, where each writes its part; else None."""


class _Part(NamedTuple):
    places: Index
    checksums: dict[str, dict[str, Any]]


def draft(
    *,
    step: int,
    model: LAMAE,
    optimizer: torch.optim.Optimizer,
    preprocessor: Preprocessor,
    state: dict[str, Any],
    copies: HostCopy,
    shard: tuple[int, int] | None = None,
    average: LAMAE | None = None,
) -> Draft:
    """Copy to the host what this process holds; `state` must be JSON.

    `average` holds averaged weights. The draft is valid until `copies` takes others. Of several
    processes that write, the first alone has what all of them hold.
    """
    state_pieces = pieces_of_state(model, optimizer)
    if average is not None:
        state_pieces[AVERAGE] = pieces_of(average.state_dict())
    held = {
        (file, name): piece
        for file, pieces in state_pieces.items()
        for name, piece in pieces.items()
        if not shard or (piece.stop > piece.start and not (piece.is_whole and shard[0]))
    }
    copied = copies.take({f"{file}/{name}": p.tensor for (file, name), p in held.items()})
    tensors: dict[str, dict[str, Piece]] = {file: {} for file in state_pieces}
    for (file, name), piece in held.items():
        copy = piece._replace(tensor=copied[f"{file}/{name}"])
        tensors[file][name] = copy
    documents = {CONFIG: model_config(model, preprocessor), STATE: state}
    return Draft(step, documents, tensors, shard)


def write_checkpoint(
    run_dir: Path, draft: Draft, *, attempt: Attempt | None, exchange: Exchange
) -> Path:
    """Write a checkpoint, each process its part; the main process, which has the attempt, names it.

    A checkpoint of that step is left as it is. Every process must call it, and all raise where
    one fails: FencedError if a later attempt at the run has begun, and InputError if there is a
    checkpoint of that step with other weights.
    """
    folder = checkpoint_folder(run_dir, draft.step)
    try:
        begun = _each(exchange, attempt, partial(_begin, run_dir, folder, attempt))
        (unfinished,) = (path for path in begun if path is not None)
        parts = _each(exchange, attempt, partial(_write_part, unfinished, draft))
        _each(exchange, attempt, partial(_finish, folder, unfinished, draft, parts, attempt))
    finally:
        if attempt is not None:
            shutil.rmtree(partial_folder(folder, attempt), ignore_errors=True)
    return folder


def _each(exchange: Exchange, attempt: Attempt | None, work: Callable[[], T]) -> list[T]:
    """Do a part of the work; return what each process returned, or raise where one failed."""
    error, found = None, None
    try:
        with _fenced(attempt):
            found = work()
    except (InputError, OSError) as raised:
        error = raised
    exchange.raise_together(error)
    return exchange.gather(found)


@contextmanager
def _fenced(attempt: Attempt | None) -> Iterator[None]:
    """Name the reason where a later attempt has swept away what this one was writing."""
    try:
        yield
    except OSError:
        if attempt is not None:
            attempt.check()
        raise


def _begin(run_dir: Path, folder: Path, attempt: Attempt | None) -> Path | None:
    if attempt is None:
        return None
    sweep(run_dir, attempt)
    unfinished = partial_folder(folder, attempt)
    empty_folder(unfinished)
    return unfinished


def _write_part(unfinished: Path, draft: Draft) -> _Part:
    part = _Part({}, {})
    for file, pieces in draft.tensors.items():
        name = file
        if draft.shard:
            number, of = draft.shard
            name = shard_file(file, number=number, of=of)
        tensors = {label: piece.tensor for label, piece in pieces.items()}
        part.checksums[name] = write_tensors(unfinished / name, tensors)
        part.places[file] = {
            label: Place(piece.shape, (Rows(name, piece.start, piece.stop),))
            for label, piece in pieces.items()
        }
    return part


def _finish(
    folder: Path, unfinished: Path, draft: Draft, parts: list[_Part], attempt: Attempt | None
) -> None:
    """Write what names and seals the parts, and give the checkpoint its name."""
    if attempt is None:
        return
    documents = dict(draft.documents)
    documents[STATE] = {"step": draft.step, "attempt": attempt.number} | documents[STATE]
    if draft.shard:
        documents[SHARDS] = index_document(part.places for part in parts)
    written = {name: entry for part in parts for name, entry in part.checksums.items()}
    for name, content in documents.items():
        write_json(unfinished / name, content)
    write_checksums(unfinished, written)
    sealed = read_checksums(unfinished)
    try:
        publish(unfinished, folder, permit=attempt.check)
    except FileExistsError:
        _check_same(folder, sealed)


def _check_same(folder: Path, written: dict[str, Any]) -> None:
    """Refuse what would replace a checkpoint; state.json alone may differ, as its times do."""
    found = damage(folder, needs=files_of(folder, CHECKPOINT_FILES))
    if not found:
        there = read_checksums(folder)
        names = [name for name in written if name != STATE]
        differing = [name for name in names if there.get(name) != written[name]]
        found = ", ".join(f"another {name}" for name in differing)
    if found:
        raise InputError(
            f"checkpoint {folder}",
            value=f"exists, with {found}",
            expected="that no checkpoint is ever replaced",
            remedy="Resume the run to go on from its newest checkpoint, or use another run_dir.",
        )

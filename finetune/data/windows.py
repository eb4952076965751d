"""Means over the windows of recordings that are longer than what a model sees.

What a model gives for the windows that cover a recording is averaged: features for a probe, logits
for a classifier (for a linear classifier that is the same). A shorter recording has one window,
padded, whose padding is masked.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Float, Int
from tqdm import tqdm

from finetune.data.settings import ReadingSettings
from lamae.batches.dataset import Batch, Split, Usable, prefetch
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.windows import Windows, covering_windows

_SHARDS_AHEAD = 8
MISSING_LEADS = "missing_leads"
"""Reason for which a recording with too few leads is not used."""


class LoaderOptions(NamedTuple):
    """Options of reading the windows of a split."""

    batch_size: int
    """Windows at once, on each process."""
    min_leads: int
    """Least number of leads with which a recording is used."""
    workers: int = 1
    """Threads that prepare batches ahead."""


def loader_options(preprocess: Preprocessor, settings: ReadingSettings) -> LoaderOptions:
    """Return how settings read recordings; more leads than the preprocessor gives are not asked."""
    leads = len(preprocess.leads)
    least = min(settings.min_leads or leads, leads)
    return LoaderOptions(settings.batch_size, least, settings.data_workers)


class Averaged(NamedTuple):
    """Outputs of a model for recordings, as means over their windows."""

    positions: Int[np.ndarray, " recordings"]
    """The recordings that could be used, in the order asked for."""
    values: Float[np.ndarray, "recordings width"]
    """One row for each of them."""
    unusable: dict[str, str]
    """Reason by key of the others."""


def average_over_windows(
    data: Split,
    compute: Callable[[Batch], Float[np.ndarray, "b width"]],
    reading: LoaderOptions,
    *,
    accelerator: Accelerator,
    name: str | None = None,
) -> Averaged:
    """Give each recording of a split the mean of what `compute` gives for its windows.

    The recordings are divided among the processes, and all get all results. `name` is for a
    progress bar, and there is none without it.
    """
    shares = np.array_split(np.arange(len(data)), accelerator.num_processes)
    own = shares[accelerator.process_index]
    windows = covering_windows(own, data.lengths(own), window=data.preprocessor.samples)

    used, values, unusable = [np.empty(0, dtype=np.int64)], [], dict[str, str]()
    for found in read_windows(
        data, windows, reading, name=name if accelerator.is_main_process else None
    ):
        unusable |= found.unusable
        if found.batch is not None:
            used.append(np.array(found.positions))
            values.append(compute(found.batch))
    return _join(gather_object([_mean_of_each(np.concatenate(used), values, unusable)]))


def read_windows(
    data: Split, windows: Windows, reading: LoaderOptions, *, name: str | None
) -> Iterator[Usable]:
    """Read windows in batches, ahead; `name` is for a progress bar."""
    size = reading.batch_size
    expect = reading_ahead(data, windows.positions)

    def read(number: int) -> Usable:
        expect(number * size)
        some = slice(number * size, (number + 1) * size)
        return usable_windows(
            data, windows.positions[some], windows.starts[some], reading.min_leads
        )

    batches = -(-len(windows.positions) // size)
    ahead = prefetch(read, start=0, stop=batches, workers=reading.workers)
    yield from tqdm(ahead, total=batches, desc=name, unit="batch", disable=name is None)


def reading_ahead(data: Split, positions: np.ndarray) -> Callable[[int], None]:
    """Return a function that has the shards fetched that are read from a place in positions on."""
    shards = data.corpus.shard_codes()[0][data.rows[positions]].tolist()
    order = list(dict.fromkeys(shards))
    places = {shard: place for place, shard in enumerate(order)}

    def expect(first: int) -> None:
        place = places[shards[first]]
        data.corpus.expect(order[place : place + _SHARDS_AHEAD])

    return expect


def usable_windows(
    data: Split, positions: np.ndarray, starts: np.ndarray | None, min_leads: int
) -> Usable:
    """Prepare those windows that can be used, of recordings that have enough leads."""
    found = data.usable(positions, starts)
    batch = found.batch
    if batch is None or batch.present is None:
        return found
    enough = batch.present.sum(dim=1) >= min_leads
    if enough.all():
        return found
    kept = enough.nonzero().flatten().tolist()
    short = [key for key, keep in zip(batch.keys, enough.tolist(), strict=True) if not keep]
    part = Batch(
        batch.signal[enough],
        batch.present[enough],
        tuple(batch.keys[number] for number in kept),
        None if batch.samples is None else batch.samples[enough],
    )
    unusable = found.unusable | dict.fromkeys(short, MISSING_LEADS)
    return Usable([found.positions[n] for n in kept], part if kept else None, unusable)


def _mean_of_each(
    positions: np.ndarray, values: list[np.ndarray], unusable: dict[str, str]
) -> Averaged:
    """Average the windows of each recording, which are in a row."""
    if not len(positions):
        return Averaged(positions, np.empty((0, 0), dtype=np.float32), unusable)
    recordings, first, counts = np.unique(positions, return_index=True, return_counts=True)
    sums = np.add.reduceat(np.concatenate(values), first, axis=0)
    return Averaged(recordings, sums / counts[:, None].astype(sums.dtype), unusable)


def _join(parts: list[Averaged]) -> Averaged:
    filled = [part.values for part in parts if len(part.positions)]
    return Averaged(
        np.concatenate([part.positions for part in parts]).astype(np.int64),
        np.concatenate(filled) if filled else np.empty((0, 0), dtype=np.float32),
        {key: reason for part in parts for key, reason in part.unusable.items()},
    )

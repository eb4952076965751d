"""Recordings that two corpora have in common, by their signals and origins, whatever their keys.

Equal checksums (`content`: leads, rate and integers) and equal origins are the same recording, as
in the search for duplicates. `near` finds it at another rate or gain as well. Where the other has
one twice, that of a split for evaluation is named.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from lamae.files import refuse_existing, write_csv
from lamae.storage.corpus import INDEX, Corpus
from lamae.storage.samples import SPLITS
from shards.sharing.near import near_pairs
from shards.sharing.settings import OverlapSettings

COLUMNS = ("key", "split", "other_key", "other_split", "by", "correlation")
"""Columns of the list of pairs."""


class Common(NamedTuple):
    """A recording that both corpora have."""

    key: str
    split: str
    other_key: str
    other_split: str
    by: str
    """same signal, same origin or near."""
    correlation: float


class Overlap(NamedTuple):
    """All that two corpora have in common."""

    pairs: list[Common]
    """Each recording of the first beside one of the other."""
    forbidden: Counter[tuple[str, str]]
    """Recordings by split of the first and of the other, where training and evaluation meet."""
    counts: Counter[tuple[str, str]]
    """The same of all splits."""


def find_overlap(settings: OverlapSettings) -> Overlap:
    """Compare two corpora; raises InputError for one that cannot be read, and damaged signals."""
    if settings.output is not None:
        refuse_existing(settings.output, kind="file")
    pairs = list(_pairs(settings))
    counts = Counter((pair.split, pair.other_split) for pair in pairs)
    forbidden: Counter[tuple[str, str]] = Counter(
        {
            (split, other): number
            for (split, other), number in counts.items()
            if split in settings.trained and other in settings.evaluated
        }
    )
    if settings.output is not None:
        write_csv(settings.output, COLUMNS, pairs)
    return Overlap(pairs, forbidden, counts)


def overlap_lines(found: Overlap, settings: OverlapSettings) -> Iterator[str]:
    """Say how many recordings of each split are in which split of the other."""
    by = Counter(pair.by for pair in found.pairs)
    ways = ", ".join(f"{number} by {way}" for way, number in by.items())
    yield f"{len(found.pairs)} recordings in common{f': {ways}' * bool(ways)}"
    for split in SPLITS:
        for other in SPLITS:
            if number := found.counts[split, other]:
                meets = " <- trained on and evaluated on" * ((split, other) in found.forbidden)
                yield f"{split}, {other} of {settings.other.name}: {number}{meets}"
    yield (
        "compared: checksums of signals, and origins"
        + ", and the first 5 s at any rate and gain" * settings.near
        + "; a recording that begins elsewhere or was filtered is not found"
    )


def _pairs(settings: OverlapSettings) -> Iterator[Common]:
    evaluated = settings.evaluated
    ours, theirs = (_index(folder) for folder in (settings.data, settings.other))
    marked: dict[str, int] = {}
    order = sorted(range(len(theirs)), key=lambda place: theirs[place]["split"] not in evaluated)
    for place in order:
        row = theirs[place]
        marked.setdefault(row["content"], place)
        if row["origin"]:
            marked.setdefault(row["origin"], place)
    found: set[int] = set()
    for place, row in enumerate(ours):
        way, match = "same signal", marked.get(row["content"])
        if match is None and row["origin"]:
            way, match = "same origin", marked.get(row["origin"])
        if match is not None:
            found.add(place)
            yield _common(row, theirs[match], way, 1.0)
    if not settings.near:
        return
    rest = [place for place in range(len(ours)) if place not in found]
    near = near_pairs(
        Corpus(settings.data),
        rest,
        Corpus(settings.other),
        order,
        least=settings.min_correlation,
    )
    for pair in near:
        if pair.row not in found:
            found.add(pair.row)
            yield _common(ours[pair.row], theirs[pair.other], "near", pair.correlation)


def _common(row: Any, other: Any, way: str, correlation: float) -> Common:
    return Common(
        row["key"], row["split"], other["key"], other["split"], way, round(correlation, 4)
    )


def _index(folder: Any) -> list[dict[str, Any]]:
    Corpus(folder)  # is one, and its index is whole
    columns = ["key", "split", "content", "origin"]
    rows: list[dict[str, Any]] = pq.read_table(folder / INDEX, columns=columns).to_pylist()
    return rows

"""Datasets of Hugging Face: rows with a signal, on disk or streamed from the Hub."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shards.entries import Entry, Listing
from shards.foreign.facts import flattened, plain
from shards.foreign.row_records import signal_fields
from shards.foreign.rows import (
    Dataset,
    as_input_error,
    commit_of,
    features_of,
)
from shards.settings import LocalSource
from shards.sources.packed import Packed, list_packed
from shards.tables.columns import PATHS
from shards.tables.label_row import SPLIT_NAMES

_SPLIT = "split"


def list_huggingface(settings: LocalSource) -> Listing:
    """List the rows of a dataset; its columns are taken as those of a table of labels are.

    Of Parquet and Arrow the columns beside the signal are read here. The splits of a dataset that
    has several are kept where they are named train, validation and test. A dataset of the Hub is
    read at one commit, whatever happens to its branch.
    """
    source, commit = settings.source, commit_of(settings.source, settings.dataset)
    pinned = settings.dataset
    if commit:
        pinned = pinned.model_copy(update={"revision": commit})
    fields = signal_fields(source, pinned, settings.fields)
    features = features_of(source, pinned)
    arrays = [name for name, kind in features.items() if _is_array(kind) and name not in fields]
    unread = {*fields, *arrays}
    columns = [name for name in features if name not in unread]
    dataset = Dataset(source, pinned, tuple(columns) or None)
    known = [SPLIT_NAMES.get(split.casefold()) for split in dataset.splits]
    keeps_splits = len(known) > 1 and None not in known and _SPLIT not in columns

    def complete(entry: Entry) -> Entry:
        part, _, number = entry.path.rpartition("#")
        return entry._replace(path=part, reader="huggingface", item=int(number))

    named = next((name for name in ("key", "__key__", *PATHS) if name in columns), None)
    rows = _rows(dataset, source, commit, features, keeps_splits=keeps_splits)
    samples = (
        each._replace(name=str(each.fields.get(named) or each.name)) if named else each
        for each in rows
    )
    listing = list_packed(settings, samples, complete)
    found = [f"dataset {source}{f' at commit {commit}' * bool(commit)}: {', '.join(features)}"]
    found.append(f"signals: column {fields.signal}")
    if arrays:
        found.append(f"columns of arrays, not read: {', '.join(arrays)}")
    doubts = []
    if len(known) > 1 and not keeps_splits and _SPLIT not in columns:
        doubts.append(f"the splits of the dataset, {', '.join(dataset.splits)}, are not kept")
    return replace(listing, found=(*found, *listing.found), doubts=(*listing.doubts, *doubts))


def _rows(
    dataset: Dataset,
    source: Path,
    commit: str,
    features: Mapping[str, Any],
    *,
    keeps_splits: bool,
) -> Iterator[Packed]:
    with as_input_error(source):
        for part in dataset.parts(commit):
            for number, row in enumerate(dataset.rows(part)):
                said = {
                    name: _named(features.get(name), plain(value)) for name, value in row.items()
                }
                if keeps_splits:
                    said[_SPLIT] = part.split
                yield Packed(f"{part}#{number}", f"{part}-{number}", dict(flattened(said)))


def _is_array(feature: Any) -> bool:
    """Return True for a column of arrays, pictures or sounds, which no cell can hold."""
    inner = getattr(feature, "feature", None)
    if inner is not None:
        return not hasattr(inner, "names") and str(getattr(inner, "dtype", "list")) != "string"
    kind = type(feature).__name__
    return kind.startswith("Array") or kind in ("Audio", "Image", "Video", "Pdf")


def _named(feature: Any, value: Any) -> Any:
    """Return names for the numbers of classes, in lists as well; None for -1, which is no class."""
    inner = getattr(feature, "feature", None)
    if inner is not None and isinstance(value, list):
        return [_named(inner, each) for each in value]
    names = getattr(feature, "names", None)
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None

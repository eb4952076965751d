"""Rows of a Hugging Face dataset: saved to disk, files in a folder, or streamed from the Hub.

A row has a place: the name of its part and its number in it. Parts are what can be begun to be
read without what is before it: a split that lies on disk, a row group of Parquet, else a file. Of
Parquet, listing reads no signal. Nothing that a dataset brings is run: datasets runs no scripts.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from lamae.errors import InputError
from lamae.packages import import_package
from shards.foreign.settings import DatasetSettings

_SAVED = ("dataset_dict.json", "state.json")
_OPEN = 4
_RAISED = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    ArithmeticError,
    pa.ArrowException,
)
"""Errors of the builders of datasets, beside its own and those of a request."""


class Part(NamedTuple):
    """A part of a dataset."""

    split: str
    number: int
    """Place among those of its split."""
    revision: str
    """Commit on the Hub; empty for a dataset on disk."""

    def __str__(self) -> str:
        """Write its name, as samples and rejects have it."""
        commit = f"@{self.revision}" if self.revision else ""
        return f"{self.split}{commit}/{self.number:05d}"

    @classmethod
    def parse(cls, name: str) -> "Part":
        """Read the name of a part."""
        split, _, number = name.rpartition("/")
        split, _, revision = split.partition("@")
        return cls(split, int(number), revision)


class Dataset:
    """A dataset, opened."""

    def __init__(
        self, source: Path, settings: DatasetSettings, columns: tuple[str, ...] | None = None
    ) -> None:
        """Open a folder or a dataset of the Hub, of which only some columns may be wanted."""
        self._columns = columns
        self._splits: dict[str, Any] = _load(source, settings, columns)
        wanted = settings.splits
        missing = [name for name in wanted or () if name not in self._splits]
        if missing:
            raise InputError(
                "dataset.splits",
                value=missing[0],
                expected=f"one of {', '.join(self._splits)}",
                remedy="Correct dataset.splits.",
            )
        if wanted is not None:
            self._splits = {name: self._splits[name] for name in wanted}

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that are read."""
        return tuple(self._splits)

    @property
    def features(self) -> dict[str, Any]:
        """Types of the columns by name; empty where nothing but reading would tell them."""
        return dict(next(iter(self._splits.values())).features or {})

    def parts(self, revision: str) -> list[Part]:
        """Return all parts, in order."""
        return [
            Part(split, number, revision)
            for split, rows in self._splits.items()
            for number in range(getattr(rows, "num_shards", 1) if _streams(rows) else 1)
        ]

    def rows(self, part: Part, start: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the rows of a part from `start` on, arrays as numpy has them."""
        found = self._splits[part.split]
        if self._columns is not None:
            found = found.select_columns(list(self._columns))
        if _streams(found):
            found = found.shard(found.num_shards, part.number)
            found = found.skip(start) if start else found
        elif start:
            found = found.select(range(start, len(found)))
        yield from found.with_format("numpy")

    def row(self, part: Part, number: int) -> dict[str, Any]:
        """Return one row of a dataset that lies on disk."""
        found = self._splits[part.split]
        return found.with_format("numpy")[number]

    def is_on_disk(self, split: str) -> bool:
        """Return True where any row can be read at once."""
        return not _streams(self._splits[split])


def _streams(rows: Any) -> bool:
    return not hasattr(rows, "__len__")


def features_of(source: Path, settings: DatasetSettings) -> dict[str, Any]:
    """Return the types of the columns, None where a dataset does not say them.

    Raises InputError where it cannot be opened.
    """
    dataset = Dataset(source, settings)
    if dataset.features:
        return dataset.features
    with as_input_error(source):
        first = next(dataset.rows(dataset.parts("")[0]), None)
    return dict.fromkeys(first or ())


def commit_of(source: Path, settings: DatasetSettings) -> str:
    """Return the commit on the Hub that a revision is now; empty for a dataset on disk."""
    if source.is_dir():
        return ""
    from lamae.release.hub import endpoint, import_hub

    with as_input_error(source):
        api = import_hub().HfApi(endpoint=endpoint(), library_name="lamae")
        return str(api.dataset_info(str(source), revision=settings.revision).sha)


def import_datasets() -> Any:
    """Import datasets without torch, which it loads where it can and which takes half a GB here."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    before = os.environ.get("USE_TORCH")
    os.environ["USE_TORCH"] = "0"
    try:
        library = import_package("datasets")
    finally:
        os.environ.pop("USE_TORCH")
        if before is not None:
            os.environ["USE_TORCH"] = before
    library.disable_progress_bars()
    return library


def _load(source: Path, settings: DatasetSettings, columns: Sequence[str] | None) -> dict[str, Any]:
    library = import_datasets()
    with as_input_error(source):
        if any((source / name).is_file() for name in _SAVED):
            saved = library.load_from_disk(str(source))
            return dict(saved) if isinstance(saved, dict) else {str(saved.split or "train"): saved}
        remote = {} if source.is_dir() else {"revision": settings.revision}
        given = {"path": str(source), "name": settings.config, **remote}
        builder = library.load_dataset_builder(**given)
        if columns is not None and hasattr(builder.config, "columns"):
            builder = library.load_dataset_builder(**given, columns=list(columns))
        streamed = builder.as_streaming_dataset()
        return {name: rows.reshard() for name, rows in streamed.items()}


@contextlib.contextmanager
def as_input_error(source: Path) -> Iterator[None]:
    """Raise InputError for whatever a dataset that cannot be opened makes datasets raise."""
    datasets = import_package("datasets.exceptions")
    hub = import_package("huggingface_hub.errors")
    raised = (*_RAISED, datasets.DatasetsError, hub.HTTPError)
    try:
        yield
    except InputError:
        raise
    except raised as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"dataset {source}",
            value=f"{type(error).__name__}: {first[:300]}",
            expected="a folder of save_to_disk or of data files, or owner/name on the Hub",
            remedy="Check source=, dataset.config and dataset.revision, HF_TOKEN for a private "
            "one, and the network.",
        ) from None

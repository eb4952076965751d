"""Example recordings of every finding: flagged ones of the shards, rejected ones of the source."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
from matplotlib.figure import Figure
from pydantic import ValidationError

from lamae.ecg.measurements import measure_ecg
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.figures.clinical import clinical_ecg, measured_line
from lamae.runs.tracking import read_summary
from lamae.storage.corpus import Corpus
from shards.build.read import read_entry
from shards.entries import Entry, Reader, Reject
from shards.rejects import read_rejects
from shards.settings import ShardsSettings

T = TypeVar("T")

_READERS: MappingProxyType[str, Reader] = MappingProxyType(
    {"": "wfdb", ".csv": "csv", ".mat": "icbeb", ".npy": "npy"}
)
"""By the extension of a rejected path; a file of many recordings cannot be found by its path."""


class Example(NamedTuple):
    """One recording that shows what a reason means."""

    name: str
    """Key of the sample, or path below the source."""
    text: str
    """Finding, for a person."""
    figure: Figure | None
    """The recording on ECG paper; None where it cannot be read or drawn."""
    missing: str = ""
    """Reason for having no figure."""


class Examples(NamedTuple):
    """Recordings of one reason."""

    reason: str
    """Name under which it is counted."""
    number: int
    """Recordings that have it."""
    shown: list[Example]
    """Some of them, drawn by chance."""


def flagged_examples(
    corpus: Corpus,
    rows: Mapping[str, np.ndarray],
    *,
    most: int,
    generator: np.random.Generator,
) -> Iterator[Examples]:
    """Yield examples of each flag, the most frequent flag first.

    Args:
        corpus: where the recordings are.
        rows: rows of each flag.
        most: examples of a flag.
        generator: draws them.
    """
    for flag in sorted(rows, key=lambda name: (-len(rows[name]), name)):
        chosen = _chosen(rows[flag].tolist(), most, generator)
        yield Examples(flag, len(rows[flag]), [_flagged(corpus, row) for row in chosen])


def rejected_examples(
    folder: Path, *, most: int, generator: np.random.Generator
) -> Iterator[Examples]:
    """Yield examples of each reason to reject, the most frequent first, as rejects.csv has them.

    They are drawn where the source that summary.json names is still there.
    """
    try:
        rejects = read_rejects(folder)
    except (OSError, TypeError, ValueError):  # not part of what makes a folder a corpus
        return
    settings = _settings(folder)
    by_reason: dict[str, list[Reject]] = defaultdict(list)
    for reject in rejects:
        by_reason[reject.reason].append(reject)
    for reason in sorted(by_reason, key=lambda name: (-len(by_reason[name]), name)):
        chosen = _chosen(by_reason[reason], most, generator)
        shown = [_rejected(reject, settings) for reject in chosen]
        yield Examples(reason, len(by_reason[reason]), shown)


def _chosen(found: Sequence[T], most: int, generator: np.random.Generator) -> list[T]:
    places = generator.choice(len(found), min(most, len(found)), replace=False)
    return [found[place] for place in sorted(places)]


def _flagged(corpus: Corpus, row: int) -> Example:
    sample = corpus.sample(row)
    return _drawn(sample.key, " ".join(sample.notes), sample.record)


def _rejected(reject: Reject, settings: ShardsSettings | None) -> Example:
    reader = _READERS.get(Path(reject.name).suffix)
    if settings is None or reader is None or not settings.source.is_dir():
        missing = "The source that summary.json names is not here, or not one file a recording."
        return Example(reject.name, reject.message, None, missing)
    entry = Entry(reject.name, reject.name, "", None, {}, reader=reader)
    try:
        record = read_entry(entry, settings).record
    except (InputError, OSError) as error:
        return Example(reject.name, reject.message, None, f"It cannot be drawn: {error}")
    return _drawn(reject.name, reject.message, record)


def _drawn(name: str, text: str, record: Record) -> Example:
    try:
        figure = clinical_ecg(
            record.signal_mv(),
            record.leads,
            sampling_rate=record.sampling_rate,
            title=name,
            details=_known(record),
        )
    except InputError as error:
        return Example(name, text, None, f"It cannot be drawn: {error}")
    return Example(name, text, figure)


def _known(record: Record) -> str:
    """Return what is known and, where neurokit2 is installed, measured of a recording."""
    age, sex = record.about.age, record.about.sex
    found = None
    if find_spec("neurokit2") is not None:
        found = measure_ecg(record.signal_mv(), record.leads, sampling_rate=record.sampling_rate)
    return measured_line(found, age=None if age is None else f"{age:g}", sex=sex)


def _settings(folder: Path) -> ShardsSettings | None:
    """Return the settings that the corpus was built with, where they can be read."""
    try:
        config: Mapping[str, object] = read_summary(folder)["config"]
        return ShardsSettings.model_validate(config)
    except (OSError, LookupError, TypeError, ValidationError, ValueError):
        return None

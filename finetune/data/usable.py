"""Usable recordings of a task, found before anything is trained."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object

from finetune.data.tasks import LabelledRows, Task
from finetune.data.windows import reading_ahead, usable_windows
from lamae.batches.dataset import Split, Usable, prefetch
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.statistics.metrics import defined_classes, left_out
from lamae.storage.corpus import Corpus

SPLITS = ("train", "evaluation")
_READ_AT_ONCE = 256


class UsableTask(NamedTuple):
    """A task without the recordings that cannot be used."""

    task: Task
    """The recordings that could be used."""
    unusable: dict[str, dict[str, list[str]]]
    """By split and reason, keys of the recordings that are left out."""


def check_task(task: Task, *, leave_out_absent: bool) -> None:
    """Raise InputError where a class cannot be learnt or, unless it is left out, not be scored."""
    for split, part in zip(SPLITS, (task.train, task.evaluation), strict=True):
        absent = left_out(part.labels, task.classes)
        if split == "evaluation" and leave_out_absent and defined_classes(part.labels).any():
            continue
        if absent:
            only = "of one class only" if len(task.classes) == 1 else "that tell no class apart"
            named = f"{', '.join(absent)} in all of its {len(part.rows)} recordings or in none"
            raise InputError(
                f"{split} split",
                value=f"recordings {only}" if len(absent) == len(task.classes) else named,
                expected="positive and negative recordings of each class",
                remedy="Leave the class out of classes=, give other splits, or for the evaluation "
                "split absent_classes=leave_out.",
            )


def check_leads(
    corpus: Corpus, preprocessor: Preprocessor, task: Task, *, min_leads: int, max_unusable: float
) -> None:
    """Raise InputError where too many recordings lack leads, by the index alone."""
    for split, part in zip(SPLITS, (task.train, task.evaluation), strict=True):
        data = Split(corpus, part.rows, preprocessor)
        present = data.present(np.arange(len(data)))
        short = np.flatnonzero(present.sum(axis=1) < min_leads)
        if len(short) > max_unusable * len(data):
            first = int(short[0])
            has = [n for n, known in zip(preprocessor.leads, present[first], strict=True) if known]
            raise InputError(
                f"{split} split",
                value=f"{len(short)} of {len(data)} recordings lack leads, e.g. "
                f"{corpus.keys[part.rows[first]]} has {', '.join(has) or 'none'}",
                expected=f"at least {min_leads} of {', '.join(preprocessor.leads)}",
                remedy="Give min_leads= to use them with absent leads, or max_unusable= to leave "
                "them out.",
            )


def usable_task(
    corpus: Corpus,
    preprocessor: Preprocessor,
    task: Task,
    *,
    accelerator: Accelerator,
    min_leads: int,
    max_unusable: float,
    workers: int = 1,
) -> UsableTask:
    """Read every recording of a task once, and leave those out that cannot be used.

    Raises InputError where more than the share `max_unusable` of a split is unusable.
    """
    parts: list[LabelledRows] = []
    unusable: dict[str, dict[str, list[str]]] = {}
    for split, part in zip(SPLITS, (task.train, task.evaluation), strict=True):
        data = Split(corpus, part.rows, preprocessor)
        used, reasons = _read_all(data, accelerator, min_leads=min_leads, workers=workers)
        check_unusable(split, reasons, len(data), max_unusable)
        parts.append(part.only(part.rows[used]))
        unusable[split] = by_reason(reasons)
    return UsableTask(task._replace(train=parts[0], evaluation=parts[1]), unusable)


def check_unusable(split: str, unusable: Mapping[str, str], records: int, most: float) -> None:
    """Raise InputError where more than the share `most` of a split is unusable."""
    if len(unusable) > most * records:
        key, reason = next(iter(unusable.items()))
        raise InputError(
            f"{split} split",
            value=f"{len(unusable)} of {records} recordings unusable, e.g. {key}: {reason}",
            expected=f"at most the share {most:g}",
            remedy="Build or copy the shards again, or raise max_unusable=.",
        )


def by_reason(unusable: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the keys of each reason."""
    found: dict[str, list[str]] = {}
    for key, reason in unusable.items():
        found.setdefault(reason, []).append(key)
    return found


def _read_all(
    data: Split, accelerator: Accelerator, *, min_leads: int, workers: int
) -> tuple[np.ndarray, dict[str, str]]:
    """Return positions of what can be used and reasons for the rest, on every process."""
    shares = np.array_split(np.arange(len(data)), accelerator.num_processes)
    own = shares[accelerator.process_index]

    expect = reading_ahead(data, own)

    def read(number: int) -> Usable:
        expect(number * _READ_AT_ONCE)
        some = own[number * _READ_AT_ONCE : (number + 1) * _READ_AT_ONCE]
        return usable_windows(data, some, None, min_leads)._replace(batch=None)

    used: list[int] = []
    reasons: dict[str, str] = {}
    for found in prefetch(read, start=0, stop=-(-len(own) // _READ_AT_ONCE), workers=workers):
        used += found.positions
        reasons |= found.unusable
    parts = gather_object([(used, reasons)])
    joined = np.array([position for some, _ in parts for position in some], dtype=np.int64)
    return joined, {key: reason for _, some in parts for key, reason in some.items()}

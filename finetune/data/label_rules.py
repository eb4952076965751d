"""Rules between the labels that shards hold and the classes that a task has.

A class can be several equivalent codes joined with "|", as in the PhysioNet/CinC Challenge's
weights.csv: a recording has it if it has any of them. ICD-10 codes can be joined with their
ancestors, as Strodthoff et al. 2024 did for MIMIC-IV-ECG.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from finetune.data.settings import CATEGORY, Icd10Settings
from lamae.errors import InputError
from lamae.storage.corpus import Corpus

Classes = Sequence[tuple[str, ...] | None]
"""The classes of every row of a corpus; None where it is unlabelled."""

EQUIVALENT = "|"
"""Between codes that are one class."""

MISSING = frozenset({"na", "n/a", "nan", "none", "null", "?", "-"})
"""Texts that stand for nothing, in lower case."""


def icd10_classes(labels: Classes, rules: Icd10Settings) -> list[tuple[str, ...] | None]:
    """Return the classes of every row, in order, without those that too few recordings have."""
    found = [None if codes is None else _with_ancestors(codes, rules) for codes in labels]
    times = Counter(code for codes in found for code in codes or ())
    frequent = [code for code, number in times.items() if number >= rules.min_recordings]
    frequent.sort(key=lambda code: (-times[code], code))
    kept = set(frequent[: rules.max_classes])
    return [
        None if codes is None else tuple(code for code in codes if code in kept) for codes in found
    ]


def _with_ancestors(codes: Sequence[str], rules: Icd10Settings) -> tuple[str, ...]:
    found: set[str] = set()
    for code in codes:
        cut = code.replace(".", "")[: rules.max_characters].rstrip("X")
        shortest = min(CATEGORY if rules.ancestors else len(cut), len(cut))
        found |= {cut[:end] for end in range(shortest, len(cut) + 1)}
    return tuple(sorted(found - {""}))


def has_class(labels: Classes, rows: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return bool (rows, classes): the recording has one of the codes of the class."""
    columns: dict[str, list[int]] = {}
    for number, name in enumerate(classes):
        for code in {name, *name.split(EQUIVALENT)}:  # a code may itself hold the sign
            columns.setdefault(code, []).append(number)
    matrix = np.zeros((len(rows), len(classes)), dtype=bool)
    for place, row in enumerate(rows):
        for code in labels[row] or ():
            matrix[place, columns.get(code, [])] = True
    return matrix


def rows_where(corpus: Corpus, rows: np.ndarray, where: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Keep the rows that have, in each label set of `where`, one of the classes named there.

    Raises InputError for a label set that the corpus does not have, and where nothing is left.
    """
    for label_set, wanted in where.items():
        labels = corpus.labels(label_set)
        kept = [not set(wanted).isdisjoint(labels[row] or ()) for row in rows]
        if not any(kept):
            seen = sorted({name for row in rows for name in labels[row] or ()})
            raise InputError(
                f"where.{label_set}",
                value=f"{', '.join(wanted)}, which no recording has",
                expected=f"some of {', '.join(seen[:10])}{', ...' if len(seen) > 10 else ''}",
                remedy="Name classes of that label set; quote numbers, as in ['0'].",
            )
        rows = rows[np.array(kept, dtype=bool)]
    return rows


def check_names(corpus: Corpus, rows: np.ndarray, labels: Classes, label_set: str) -> None:
    """Raise InputError where classes are not what they seem: a gap, or words among numbers."""
    for row in rows:
        for name in labels[row] or ():
            if name.lower() in MISSING:
                raise _name_error(corpus, row, label_set, name, "no sign for a missing label")
    first = {name: row for row in rows[::-1] for name in labels[row] or ()}
    words = [name for name in first if not _is_number(name)]
    if words and 2 * len(words) < len(first):
        name = min(words)
        raise _name_error(corpus, first[name], label_set, name, "a number, as most of the others")


def _name_error(corpus: Corpus, row: Any, label_set: str, name: str, expected: str) -> InputError:
    return InputError(
        f"label set {label_set!r}",
        value=f"{name!r}, a label of recording {corpus.keys[row]}",
        expected=expected,
        remedy="Correct the table and build the shards again, where a missing label is an empty "
        "cell; or name the classes that are meant in classes=.",
    )


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True

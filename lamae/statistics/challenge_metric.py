"""The scores of the PhysioNet/CinC Challenges 2020 and 2021, from decisions on scored classes.

A scored class is a set of equivalent SNOMED CT codes, the rows of the Challenge's weights.csv. The
2021 file joins them with "|"; the 2020 file gives each a row, and the rules name them
(`EQUIVALENT_2020`). A record has a scored class if it has any of its codes.

Rules: Perez Alday et al., Physiological Measurement 2020, and Reyna et al., CinC 2021; the same in
github.com/physionetchallenges/evaluation-2020 and evaluation-2021. With labels x_i and decisions
y_i of record i,

    a_jk = sum over i of [j in x_i and k in y_i] / max(|x_i or y_i|, 1),  t = sum over jk w_jk a_jk

and the score is (t - t_inactive) / (t_correct - t_inactive), 0 where these are equal; t_correct
answers every label, t_inactive always and only sinus rhythm. It can be negative.

The Challenge's F-measures here follow its own rule for classes without a positive record: 0 with
a positive decision, else left out of the mean. `lamae.statistics.thresholds.f_beta` leaves out
both. Its AUROC and AUPRC are those of `lamae.statistics.metrics`, but for a class that every record
has: there its AUPRC is 1, and here it is left out.
"""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from lamae.errors import InputError
from lamae.statistics.metrics import macro
from lamae.statistics.thresholds import Confusion, f_beta, g_beta, weighted_confusion

SINUS_RHYTHM = "426783006"
"""SNOMED CT code of the class that an inactive model answers."""
EQUIVALENT_2020 = (
    ("713427006", "59118001"),
    ("284470004", "63593006"),
    ("427172004", "17338001"),
)
"""Codes of right bundle branch block, premature atrial and premature ventricular contractions."""


class ChallengeWeights(NamedTuple):
    """Worth of each decision for each label."""

    classes: tuple[frozenset[str], ...]
    """The equivalent SNOMED CT codes of each scored class."""
    values: Float[np.ndarray, "classes classes"]
    """Worth of a decision (column) where a label (row) is true; 1 on the diagonal."""


class ChallengeScores(NamedTuple):
    """Numbers that the official evaluation prints from decisions."""

    score: float
    """The Challenge metric: 1 for all labels answered, 0 for sinus rhythm always."""
    accuracy: float
    """Share of records whose decisions are all right."""
    f_measure: float
    """Mean F1 over classes."""
    f_beta: float
    """Mean F2 over classes, each record divided by the number of its labels (2020 only)."""
    g_beta: float
    """Mean G2 over classes, each record divided by the number of its labels (2020 only)."""


def read_challenge_weights(
    path: Path, *, equivalent: Sequence[Collection[str]] = ()
) -> ChallengeWeights:
    """Read a weights.csv: codes in the first row and column, a number in every other cell.

    Args:
        path: the table of the Challenge.
        equivalent: codes that are one class though each has its row, `EQUIVALENT_2020` for 2020.

    Raises InputError for a table that is not square with the same classes on both sides, holds
    a code twice, has a cell that is no finite number, or gives equivalent codes other weights.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
        header, *body = rows or [[]]
        values = np.array([[float(cell) for cell in row[1:]] for row in body])
    except (OSError, ValueError) as error:
        raise _table_error(path, str(error)) from None
    columns = [frozenset(cell.split("|")) for cell in header[1:]]
    if [frozenset(row[0].split("|")) for row in body] != columns or not columns:
        raise _table_error(path, "other classes in the first column than in the first row")
    if values.shape != (len(columns), len(columns)) or not np.isfinite(values).all():
        raise _table_error(path, f"{values.shape} or not finite, for {len(columns)} classes")
    if sum(map(len, columns)) != len(frozenset().union(*columns)):
        raise _table_error(path, "a code in two rows")
    return _joined(path, columns, values, equivalent)


def scored_labels(
    codes: Sequence[Collection[str]], weights: ChallengeWeights
) -> Bool[np.ndarray, "records classes"]:
    """Return which scored classes each record has, from its SNOMED CT codes."""
    found = [[not members.isdisjoint(own) for members in weights.classes] for own in codes]
    return np.array(found, dtype=bool).reshape(len(codes), len(weights.classes))


def scored_decisions(
    decisions: Bool[np.ndarray, "records columns"],
    columns: Sequence[str],
    weights: ChallengeWeights,
) -> Bool[np.ndarray, "records classes"]:
    """Return decisions on scored classes: positive if that on any equivalent column is.

    A column is named by a code or by several joined with "|"; a class without a column is never
    positive.
    """
    return decisions.astype(np.int64) @ _columns_of(columns, weights) > 0


def challenge_score(
    labels: Bool[np.ndarray, "records classes"],
    decisions: Bool[np.ndarray, "records classes"],
    weights: ChallengeWeights,
) -> float:
    """Return the Challenge metric.

    Raises InputError where the table has no sinus rhythm or other classes than the decisions.
    """
    once = np.ones((1, len(labels)))
    return float(weighted_challenge_score(labels, decisions, weights, once)[0])


def weighted_challenge_score(
    labels: Bool[np.ndarray, "records classes"],
    decisions: Bool[np.ndarray, "records classes"],
    weights: ChallengeWeights,
    record_weights: Shaped[np.ndarray, "resamples records"],
) -> Float[np.ndarray, " resamples"]:
    """Return the Challenge metric in each resample; `record_weights` say how often one is drawn.

    Each of the three sums t is a sum over records. Raises InputError as `challenge_score`.
    """
    _check(labels, decisions, weights)
    inactive = np.zeros_like(labels)
    inactive[:, _sinus_rhythm(weights)] = True
    answers = (decisions, labels, inactive)
    credit = np.stack([_credit(labels, answer, weights.values) for answer in answers], axis=1)
    observed, correct, always_sinus = (record_weights.astype(np.float64) @ credit).T
    gained, most = observed - always_sinus, correct - always_sinus
    return np.divide(gained, most, out=np.zeros_like(gained), where=most != 0)


def challenge_scores(
    labels: Bool[np.ndarray, "records classes"],
    decisions: Bool[np.ndarray, "records classes"],
    weights: ChallengeWeights,
) -> ChallengeScores:
    """Return what the official evaluation prints from decisions.

    Raises InputError as `challenge_score`.
    """
    _check(labels, decisions, weights)
    plain, shared = np.ones(len(labels)), 1 / np.maximum(labels.sum(axis=1), 1)
    counts, shared_counts = (
        Confusion(*(c[0] for c in weighted_confusion(labels, decisions, amounts[None])))
        for amounts in (plain, shared)
    )
    return ChallengeScores(
        score=challenge_score(labels, decisions, weights),
        accuracy=float((labels == decisions).all(axis=1).mean()),
        f_measure=float(macro(official_values(f_beta(counts, beta=1.0), counts))),
        f_beta=float(macro(official_values(f_beta(shared_counts, beta=2.0), shared_counts))),
        g_beta=float(macro(official_values(g_beta(shared_counts, beta=2.0), shared_counts))),
    )


def official_values(
    values: Float[np.ndarray, "*resamples classes"], counts: Confusion
) -> Float[np.ndarray, "*resamples classes"]:
    """Return F or G as the official means take them: 0 for a class that is only called wrongly.

    A class without a positive record that is never called stays without a value.
    """
    return np.where(np.isnan(values) & (counts.false_positive > 0), 0.0, values)


def _joined(
    path: Path,
    classes: Sequence[frozenset[str]],
    values: np.ndarray,
    equivalent: Sequence[Collection[str]],
) -> ChallengeWeights:
    """Join the rows of equivalent classes, which must weigh the same."""
    joined = list(classes)
    for codes in equivalent:
        rows = [i for i, members in enumerate(classes) if not members.isdisjoint(codes)]
        same = (values[rows] == values[rows[:1]]).all() and (
            values[:, rows] == values[:, rows[:1]]
        ).all()
        if not same:
            raise _table_error(path, f"other weights for the equivalent {sorted(codes)}")
        together = frozenset().union(*(classes[i] for i in rows))
        for row in rows:
            joined[row] = together
    kept = [i for i, members in enumerate(joined) if members not in joined[:i]]
    return ChallengeWeights(tuple(joined[i] for i in kept), values[np.ix_(kept, kept)])


def _columns_of(columns: Sequence[str], weights: ChallengeWeights) -> np.ndarray:
    """Return (columns, classes), 1 where a column holds a code of the class."""
    codes = [column.split("|") for column in columns]
    return scored_labels(codes, weights).astype(np.int64)


def _number_of_classes(labels: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    return np.maximum((labels | decisions).sum(axis=1, keepdims=True), 1)


def _credit(labels: np.ndarray, decisions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return what each record adds to t, (records,)."""
    worth = ((labels.astype(np.float64) @ values) * decisions).sum(axis=1)
    return worth / _number_of_classes(labels, decisions)[:, 0]


def _sinus_rhythm(weights: ChallengeWeights) -> int:
    for number, members in enumerate(weights.classes):
        if SINUS_RHYTHM in members:
            return number
    raise InputError(
        "Challenge weights",
        value=f"no class {SINUS_RHYTHM} (sinus rhythm)",
        expected="the class that an inactive model answers",
        remedy="Take the Challenge's own weights.csv.",
    )


def _check(labels: np.ndarray, decisions: np.ndarray, weights: ChallengeWeights) -> None:
    if labels.shape != decisions.shape or labels.shape[1:] != (len(weights.classes),):
        raise InputError(
            "decisions",
            value=f"labels {labels.shape}, decisions {decisions.shape}",
            expected=f"(records, {len(weights.classes)}) each, the scored classes",
            remedy="Make them with scored_labels and scored_decisions.",
        )


def _table_error(path: Path, value: str) -> InputError:
    return InputError(
        f"Challenge weights {path}",
        value=value,
        expected="a square table of numbers, with the same SNOMED CT codes on both sides",
        remedy="Take weights.csv from the Challenge's evaluation repository.",
    )

"""Answers as tidy tables: one row for each recording and class."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lamae.packages import import_package
from lamae.pretrained.answers import Answer, Outcome

if TYPE_CHECKING:  # not for those who write files alone
    import pandas as pd


class Table(NamedTuple):
    """A table, which needs no pandas until it is asked for a data frame."""

    columns: tuple[str, ...]
    """Names of the columns."""
    rows: list[tuple[object, ...]]
    """Cells; None and NaN of what is unknown."""
    types: Mapping[str, str] = MappingProxyType({})
    """Types of columns in pandas, where cells do not tell them."""

    def frame(self) -> "pd.DataFrame":
        """Return it as a data frame; raises InputError where pandas is not installed."""
        pandas = import_package("pandas")
        frame: pd.DataFrame = pandas.DataFrame(self.rows, columns=list(self.columns))
        return frame.astype(dict(self.types))


def tidy_table(
    outcomes: Sequence[Outcome],
    classes: Sequence[str],
    thresholds: Mapping[str, float],
    *,
    value: str = "probability",
) -> Table:
    """Return a row for each recording and class, and one for each recording with a problem.

    Its columns are recording, patient, class, `value`, threshold, called, cautions, problem.
    """
    rows = [row for outcome in outcomes for row in _rows(outcome, classes, thresholds)]
    names = ("recording", "patient", "class", value, "threshold", "called", "cautions", "problem")
    return Table(names, rows, {value: "float", "threshold": "float", "called": "boolean"})


def wide_table(outcomes: Sequence[Outcome], classes: Sequence[str]) -> Table:
    """Return a row for each recording, with a column of values for each class.

    Before them stand recording and patient, behind them called, which joins classes by `|`,
    cautions and problem.
    """
    rows: list[tuple[object, ...]] = []
    for name, patient, answer, error in outcomes:
        values, called = [np.nan] * len(classes), ""
        if answer is not None:
            assert answer.called is not None, "encoders have no classes"
            values = _values(answer)
            called = "|".join(np.array(classes)[answer.called])
        cautions = "; ".join(answer.cautions) if answer else ""
        rows.append((name, patient, *values, called, cautions, str(error or "")))
    return Table(("recording", "patient", *classes, "called", "cautions", "problem"), rows)


def _rows(
    outcome: Outcome, classes: Sequence[str], thresholds: Mapping[str, float]
) -> list[tuple[object, ...]]:
    name, patient, answer, error = outcome
    if answer is None:
        return [(name, patient, None, np.nan, np.nan, None, "", str(error))]
    assert answer.called is not None, "encoders have no classes"
    cautions = "; ".join(answer.cautions)
    return [
        (name, patient, each, value, thresholds.get(each, np.nan), called, cautions, "")
        for each, value, called in zip(
            classes, _values(answer), answer.called.tolist(), strict=True
        )
    ]


def _values(answer: Answer) -> list[float]:
    if answer.probabilities is not None:
        return list(answer.probabilities.tolist())
    assert answer.score is not None, "it has the one or the other"
    return [answer.score]

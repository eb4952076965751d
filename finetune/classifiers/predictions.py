"""The predictions of a run as a CSV file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from lamae.files import write_csv

PREDICTIONS = "predictions.csv"
"""File of a run with its classifier's predictions for the evaluation split."""


def write_predictions(
    path: Path,
    classes: Sequence[str],
    keys: Sequence[str],
    probabilities: np.ndarray,
    *,
    called: np.ndarray,
    problems: dict[str, str],
    labels: np.ndarray | None = None,
) -> None:
    """Write one line for each recording: its probabilities and classes, or why it has none.

    Several classes are joined by `|`. `labels`, bool (recordings, classes), are written where they
    are known.
    """

    def joined(row: Bool[np.ndarray, " classes"]) -> str:
        return "|".join(name for name, has in zip(classes, row, strict=True) if has)

    known = [] if labels is None else ["labels"]
    rows: list[Sequence[object]] = []
    for number, key in enumerate(keys):
        truth = [] if labels is None else [joined(labels[number])]
        values = probabilities[number].tolist()
        rows.append([key, *values, joined(called[number]), *truth, ""])
    empty = [""] * (len(classes) + 1 + len(known))
    rows += [[key, *empty, problem] for key, problem in problems.items()]
    write_csv(path, ["key", *classes, "called", *known, "problem"], rows)

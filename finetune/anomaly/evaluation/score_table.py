"""Scores of recordings as a CSV file."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from lamae.files import open_whole

SCORES_FILE = "scores.csv"
"""File of a run with the scores of the evaluation split."""


def write_scores(
    path: Path,
    names: Sequence[str],
    keys: Sequence[str],
    scores: Float[np.ndarray, "recordings scores"],
    *,
    called: Bool[np.ndarray, " recordings"] | None,
    problems: dict[str, str],
    abnormal: Bool[np.ndarray, " recordings"] | None = None,
) -> None:
    """Write one line for each recording: its scores and whether it is called abnormal, or why not.

    `abnormal`, what the labels say, is written where it is known. `called` is None, and its column
    empty, without a threshold.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    known = [] if abnormal is None else ["abnormal"]
    writer.writerow(["key", *names, "called", *known, "problem"])
    for number, key in enumerate(keys):
        truth = [] if abnormal is None else [int(abnormal[number])]
        values = scores[number].tolist()
        call = "" if called is None else int(called[number])
        writer.writerow([key, *values, call, *truth, ""])
    for key, problem in problems.items():
        writer.writerow([key, *[""] * (len(names) + 1 + len(known)), problem])
    with open_whole(path) as file:
        file.write(text.getvalue().encode())

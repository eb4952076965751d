"""Scores of recordings as a CSV file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from lamae.files import write_csv

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
    known = [] if abnormal is None else ["abnormal"]
    rows: list[Sequence[object]] = []
    for number, key in enumerate(keys):
        truth = [] if abnormal is None else [int(abnormal[number])]
        call = "" if called is None else int(called[number])
        rows.append([key, *scores[number].tolist(), call, *truth, ""])
    empty = [""] * (len(names) + 1 + len(known))
    rows += [[key, *empty, problem] for key, problem in problems.items()]
    write_csv(path, ["key", *names, "called", *known, "problem"], rows)

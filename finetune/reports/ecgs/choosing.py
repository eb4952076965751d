"""Recordings that a report shows: wrong, correct and borderline ones, by stated rules."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

_SMALLEST = 1e-6


class Chosen(NamedTuple):
    """A decision about a recording."""

    record: int
    """Position of the recording."""
    column: int
    """Of the class that it is about."""


def surest_errors(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Float[np.ndarray, "records classes"],
    called: Bool[np.ndarray, "records classes"],
    *,
    most: int,
    decided: Bool[np.ndarray, " classes"] | None = None,
) -> list[Chosen]:
    """Return wrong decisions whose probability is farthest from the truth.

    Classes wrongly called and classes missed take turns, each the farthest first. No recording
    comes twice, and no class twice in the same direction: the errors of one class would be all
    there is. Only classes that are `decided` count, by default all: one without a threshold is
    always missed, however likely it is.
    """
    distance = np.abs(probabilities - labels)
    chosen: list[Chosen] = []
    wrongs = [called & ~labels, labels & ~called]
    if decided is not None:
        wrongs = [wrong & decided for wrong in wrongs]
    while len(chosen) < most and any(wrong.any() for wrong in wrongs):
        for wrong in wrongs:
            if wrong.any() and len(chosen) < most:
                place = int(np.argmax(np.where(wrong, distance, -1.0)))
                error = Chosen(*divmod(place, labels.shape[1]))
                chosen.append(error)
                wrong[:, error.column] = False
                for other in wrongs:
                    other[error.record] = False
    return chosen


def surest_correct(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Float[np.ndarray, "records classes"],
    called: Bool[np.ndarray, "records classes"],
    *,
    most: int,
) -> list[Chosen]:
    """Return recordings with all classes right: of each class the likeliest, frequent ones first.

    No recording and no class comes twice.
    """
    right = np.all(called == labels, axis=1)
    return _first_of_each_class(right[:, None] & called, probabilities, labels, most)


def borderline(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Float[np.ndarray, "records classes"],
    called: Bool[np.ndarray, "records classes"],
    *,
    most: int,
    multi_label: bool,
) -> list[Chosen]:
    """Return recordings that were nearly decided otherwise, one for each class at most.

    With several labels these are nearest, in log-odds, to the middle between the least likely
    recording that is called the class and the likeliest that is not. With one label these are
    the recordings called the class whose second likeliest class comes nearest to it.
    """
    odds = _log_odds(probabilities)
    if multi_label:
        decided = called.any(axis=0) & ~called.all(axis=0)
        least = np.where(called, odds, np.inf).min(axis=0)
        most_likely = np.where(called, -np.inf, odds).max(axis=0)
        middle = np.where(decided, (least + most_likely) / 2, 0.0)
        distance = np.abs(odds - middle)
        return _first_of_each_class(np.broadcast_to(decided, labels.shape), -distance, labels, most)
    if probabilities.shape[1] < 2:
        return []
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    return _first_of_each_class(
        called, np.tile((second - first)[:, None], labels.shape[1]), labels, most
    )


def _first_of_each_class(
    candidates: np.ndarray, value: np.ndarray, labels: np.ndarray, most: int
) -> list[Chosen]:
    """Return for each class, the most frequent first, the candidate of the largest value."""
    left, chosen = candidates.copy(), list[Chosen]()
    for column in np.argsort(-labels.sum(axis=0), kind="stable"):
        if len(chosen) < most and left[:, column].any():
            record = int(np.argmax(np.where(left[:, column], value[:, column], -np.inf)))
            chosen.append(Chosen(record, int(column)))
            left[record] = False
    return chosen


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    inside = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
    return np.log(inside / (1 - inside))

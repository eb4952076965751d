"""The errors that a classifier is surest of, on ECG paper."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from finetune.reports.sections import NamedFigure, NamedTable, Section
from lamae.batches.dataset import Split
from lamae.figures.plots import ecg_paper

_SECONDS = 10.0


class Error(NamedTuple):
    """A wrong decision."""

    record: int
    """Position of the recording."""
    column: int
    """Of the class that it is wrong about."""


def surest_errors(
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Float[np.ndarray, "records classes"],
    called: Bool[np.ndarray, "records classes"],
    *,
    most: int,
    decided: Bool[np.ndarray, " classes"] | None = None,
) -> list[Error]:
    """Return wrong decisions whose probability is farthest from the truth.

    Classes wrongly called and classes missed take turns, each the farthest first. No recording
    comes twice, and no class twice in the same direction: the errors of one class would be all
    there is. Only classes that are `decided` count, by default all: one without a threshold is
    always missed, however likely it is.
    """
    distance = np.abs(probabilities - labels)
    chosen: list[Error] = []
    wrongs = [called & ~labels, labels & ~called]
    if decided is not None:
        wrongs = [wrong & decided for wrong in wrongs]
    while len(chosen) < most and any(wrong.any() for wrong in wrongs):
        for wrong in wrongs:
            if wrong.any() and len(chosen) < most:
                place = int(np.argmax(np.where(wrong, distance, -1.0)))
                error = Error(*divmod(place, labels.shape[1]))
                chosen.append(error)
                wrong[:, error.column] = False
                for other in wrongs:
                    other[error.record] = False
    return chosen


def error_section(
    data: Split,
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Float[np.ndarray, "records classes"],
    called: Bool[np.ndarray, "records classes"],
    *,
    classes: Sequence[str],
    most: int,
    decided: Bool[np.ndarray, " classes"] | None = None,
) -> Section:
    """Draw the errors of `surest_errors` among the recordings of `data`, and tabulate them."""
    errors = surest_errors(labels, probabilities, called, most=most, decided=decided)
    figures, rows = [], []
    for number, (record, column) in enumerate(errors, start=1):
        key, prepared = data.prepared(record)
        truth, answer = (_joined(classes, flags[record]) for flags in (labels, called))
        probability = float(probabilities[record, column])
        what = "called" if called[record, column] else "missed"
        shown = prepared.present[:, None] & (np.arange(prepared.signal.shape[1]) < prepared.samples)
        paper = ecg_paper(
            prepared.millivolts(np.where(shown, prepared.signal, np.nan)),
            data.preprocessor.leads,
            sampling_rate=data.preprocessor.sampling_rate,
            title=f"Recording {key}",
            seconds=_SECONDS,
        )
        caption = (
            f"{key}: {classes[column]} {what}, at a probability of {probability:.3f}. "
            f"True: {truth}. Called: {answer}."
        )
        figures.append(NamedFigure(f"error_{number}", paper, caption))
        rows.append((key, classes[column], what, probability, truth, answer))
    text = [
        "Wrong decisions whose probability is farthest from the truth: classes wrongly called and "
        "classes missed in turn, each class once. A label may be wrong as well."
    ]
    if decided is not None and not decided.all():
        text.append("Classes without a threshold, which are never called, are left out.")
    columns = ["Recording", "Class", "Error", "Probability", "True", "Called"]
    table = NamedTable("errors", "Surest errors", columns, rows)
    return Section("Surest errors", text, figures, [table] if rows else [])


def _joined(classes: Sequence[str], flags: Bool[np.ndarray, " classes"]) -> str:
    return ", ".join(name for name, has in zip(classes, flags, strict=True) if has) or "none"

"""Section of wrong, correct and borderline recordings on ECG paper."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from finetune.reports.ecgs.choosing import Chosen, borderline, surest_correct, surest_errors
from finetune.reports.ecgs.drawing import MEASURED, NOT_INSTALLED, Drawer
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section
from lamae.batches.dataset import Split

_PER_ERROR = 2
_RULES = {
    "wrong": "Wrong: decisions whose probability is farthest from the truth, classes wrongly "
    "called and classes missed in turn, each class once. A label may be wrong as well.",
    "correct": "Correct: with all classes right, of each class the likeliest, from the most "
    "frequent class on.",
    "borderline": "Borderline: ",
}
_BORDERLINES = {
    True: "nearest, in log-odds, to the middle between the least likely recording that is called "
    "a class and the likeliest that is not; one of each class, from the most frequent on.",
    False: "of those called a class, the one whose second likeliest class comes nearest; one of "
    "each class, from the most frequent on.",
}


def example_section(
    data: Split,
    labels: Bool[np.ndarray, "records classes"],
    probabilities: Float[np.ndarray, "records classes"],
    called: Bool[np.ndarray, "records classes"],
    *,
    classes: Sequence[str],
    most: int,
    decided: Bool[np.ndarray, " classes"] | None = None,
) -> Section:
    """Draw wrong, correct and borderline recordings of `data`, and tabulate them.

    Args:
        data: the recordings, in the order of the rows of what follows.
        labels: True where a recording has a class.
        probabilities: of each class.
        called: classes that the recordings are called.
        classes: names of the columns.
        most: wrong recordings that are shown; of each other sort there are half as many.
        decided: classes that have a threshold, of a task of several labels; None of one label.
    """
    few = -(-most // _PER_ERROR)
    sorts = {
        "wrong": surest_errors(labels, probabilities, called, most=most, decided=decided),
        "correct": surest_correct(labels, probabilities, called, most=few),
        "borderline": borderline(
            labels, probabilities, called, most=few, multi_label=decided is not None
        ),
    }
    drawer, figures, rows = Drawer(data), list[NamedFigure](), list[list[Cell]]()
    for sort, chosen in sorts.items():
        for number, one in enumerate(chosen, start=1):
            row = _row(drawer.key(one.record), sort, one, labels, probabilities, called, classes)
            key, _, name, what, probability, truth, answer = row
            title = f"Recording {key}: {what} {name}"
            caption = (
                f"{str(sort).capitalize()}. {key}: {name} {what}, at a probability of "
                f"{probability:.3f}. True: {truth}. Called: {answer}."
            )
            figure = drawer.draw(one.record, title=title)
            figures.append(NamedFigure(f"example_{sort}_{number}", figure, caption))
            rows.append(list(row))
    text = [_RULES["wrong"], _RULES["correct"]]
    text.append(_RULES["borderline"] + _BORDERLINES[decided is not None])
    if decided is not None and not decided.all():
        text.append("Classes without a threshold, which are never called, are left out.")
    text.append(MEASURED if drawer.measures else NOT_INSTALLED)
    columns = ["Recording", "Sort", "Class", "Decision", "Probability", "True", "Called"]
    table = NamedTable("examples", "Examples", columns, rows)
    return Section("Examples", text, figures, [table] if rows else [])


def _row(
    key: str,
    sort: str,
    one: Chosen,
    labels: np.ndarray,
    probabilities: np.ndarray,
    called: np.ndarray,
    classes: Sequence[str],
) -> tuple[str, str, str, str, float, str, str]:
    record, column = one
    is_called, has = bool(called[record, column]), bool(labels[record, column])
    what = "called" if is_called else ("missed" if has else "not called")
    truth, answer = (_joined(classes, flags[record]) for flags in (labels, called))
    return key, sort, classes[column], what, float(probabilities[one]), truth, answer


def _joined(classes: Sequence[str], flags: Bool[np.ndarray, " classes"]) -> str:
    return ", ".join(name for name, has in zip(classes, flags, strict=True) if has) or "none"

"""The answer for one recording as lines for a terminal."""

from collections.abc import Iterator, Sequence

from lamae.files import printable
from lamae.pretrained.answers import Outcome
from lamae.pretrained.pretrained import Pretrained

NOTICE = "Research software, not a medical device."


def answer_lines(outcome: Outcome, model: Pretrained) -> Iterator[str]:
    """Say what a model answers, class by class, and every reason for caution."""
    answer = outcome.answer
    assert answer is not None and answer.called is not None, "a problem is an error"
    version = f" {model.release.version}" if model.release else ""
    patient = f", patient {outcome.patient}" if outcome.patient else ""
    yield printable(f"{outcome.recording}{patient}: {model.kind} {model.name}{version}")
    values = [answer.score] if answer.probabilities is None else answer.probabilities.tolist()
    rows = [
        (name, f"{value:.3f}", _number(model.deciding.get(name)), "yes" if called else "no")
        for name, value, called in zip(model.classes, values, answer.called, strict=True)
    ]
    yield from table_lines(("class", model.value, "threshold", "called"), rows)
    yield from (f"caution: {printable(caution)}" for caution in answer.cautions)
    yield NOTICE


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows in columns of equal width: texts to the left, numbers to the right."""
    cells = [header, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        first, *others = zip(row, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        yield f"  {'  '.join(padded).rstrip()}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"

"""The answer for a recording as one HTML file to keep."""

import datetime
from pathlib import Path

import numpy as np
from markupsafe import Markup

from finetune import reports
from finetune.serving.answers import Answered, ClassAnswer, Model, ModelClass, Range, Taken
from lamae.figures.pages import render_page

PAGE = Path(__file__).with_name("page")
"""Folder of the page's own files."""

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def shared_style() -> str:
    """Return the style sheet that reports and the page share."""
    return Path(reports.__file__).with_name("style.css.j2").read_text(encoding="utf-8")


def paper_style() -> str:
    """Return the style sheet of ECG paper."""
    return (PAGE / "paper.css").read_text(encoding="utf-8")


def render_report(found: Answered, model: Model) -> str:
    """Write all of an answer as a page that needs nothing outside of it."""
    pairs = list(zip(model.classes, found.classes, strict=True))
    return render_page(
        _TEMPLATE,
        found=found,
        model=model,
        pairs=sorted(pairs, key=lambda pair: (not pair[1].called, -(pair[1].probability or 0.0))),
        stated=any(one.sensitivity or one.specificity for one in model.classes),
        headline=headline(model, found.classes),
        taken=_changes(pairs, found.taken or []),
        style=Markup(shared_style() + paper_style()),
        svg={name: drawn and Markup(drawn) for name, drawn in found.figures},
        date=datetime.date.today().isoformat(),
        number=_number,
        interval=_interval,
        leads_named=leads_named,
    )


def headline(model: Model, classes: list[ClassAnswer]) -> str:
    """Say in a sentence what the model calls."""
    if not classes:
        return "An encoder: it embeds and reconstructs a recording, and names no class."
    called = [one.name for one in classes if one.called]
    if called:
        return f"Called: {', '.join(called)}."
    if all(one.called is None for one in classes):
        return "No class is called: the model has no thresholds."
    return (
        f"None of {len(classes)} classes is called." if model.multi_label else "Nothing is called."
    )


def leads_named(leads: list[str]) -> str:
    """Name a group of leads in short."""
    chest = [lead for lead in leads if lead.startswith("V")]
    if len(leads) > 2 and len(chest) == len(leads):
        return f"{leads[0]} to {leads[-1]}"
    return "all limb leads" if len(leads) > 1 and not chest else ", ".join(leads)


def _changes(
    pairs: list[tuple[ModelClass, ClassAnswer]], taken: list[Taken]
) -> list[tuple[str, list[tuple[str, float, float]]]]:
    """Return for the classes of interest the probability without some leads, and its change.

    These are the called ones, or the likeliest, three at most.
    """
    if len(taken) < 2:
        return []
    whole = np.array(taken[0].probabilities)
    called = [i for i, (_, one) in enumerate(pairs) if one.called]
    chosen = (called or np.argsort(-whole).tolist()[:1])[:3]
    return [
        (
            pairs[i][0].name,
            [
                (leads_named(one.leads), one.probabilities[i], one.probabilities[i] - whole[i])
                for one in taken[1:]
            ],
        )
        for i in chosen
    ]


def _number(value: float | None, digits: int = 3) -> str:
    """Write a number with a true minus sign, and a dash for none."""
    return "\u2013" if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def _interval(measure: Range | None) -> str:
    if measure is None:
        return "\u2013"
    return f"{measure.estimate:.2f} ({measure.low:.2f} to {measure.high:.2f})"

"""Section on where in the recordings a classifier looked."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from finetune.evaluation.occlusion import (
    DELETED,
    LEVEL,
    PART_S,
    RANDOM_DRAWS,
    Occluded,
    deletion_tests,
    lead_shares,
)
from finetune.evaluation.ranking_measures import interval_as_dict
from finetune.reports.ecgs.drawing import Drawer
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section
from lamae.batches.dataset import Split
from lamae.figures.clinical import Shading
from lamae.statistics.interval import Interval

_RULES = (
    f"A part of {PART_S:g} s of one lead is replaced by a line between its ends; shaded is how "
    "much the log-odds of the class fall without it, the darkest where they fall most in this "
    "recording. Recordings were drawn by chance from those that have the class and are called it, "
    "one of a patient; the first of each class is drawn."
)
_TEST = (
    f"The deletion test replaces the {DELETED:.0%} of the parts whose falls are largest at once, "
    f"and beside it as many random parts, mean of {RANDOM_DRAWS} draws. Intervals of {LEVEL:.0%} "
    "are Student's, over recordings. Where the difference holds 0, the shading means nothing. "
    "Where it does not, the classifier rests on these parts; that a disease shows there is not "
    "said by it. Limb leads hold each other, beats repeat, and a line is nothing that the "
    "classifier was trained on."
)


def occlusion_section(
    found: Sequence[Occluded], data: Split, classes: Sequence[str], leads: Sequence[str]
) -> list[Section]:
    """Draw the first recording of each class, shaded, with the deletion test; none without any."""
    if not found:
        return []
    drawer, figures, rows = Drawer(data), list[NamedFigure](), list[list[Cell]]()
    shares: list[list[Cell]] = []
    for number, (column, test) in enumerate(deletion_tests(found).items(), start=1):
        first = next(one for one in found if one.column == column)
        name, key = classes[column], drawer.key(first.record)
        strength = np.nan_to_num(first.fall).clip(0)
        shading = Shading(leads, strength / max(strength.max(), 1e-12), PART_S)
        lead, part = divmod(int(strength.argmax()), strength.shape[1])
        figure = drawer.draw(
            first.record,
            title=f"Recording {key}: {name}",
            shading=shading,
            rhythm_lead=leads[lead],
        )
        caption = (
            f"{key}, {name}: the largest fall of the log-odds by one part is {strength.max():.3f}, "
            f"at {part * PART_S:g} s of lead {leads[lead]}, which the strip below shows whole."
        )
        figures.append(NamedFigure(f"occlusion_{number}", figure, caption))
        rows.append([name, test.records, test.deleted, test.random, test.difference])
        shares.append([name, *map(float, lead_shares(found, column))])
    columns = ["Class", "Recordings", "Fall without them", "Without random parts", "Difference"]
    tables = [
        NamedTable("deletion_test", "Deletion test, fall of the log-odds", columns, rows),
        NamedTable("lead_shares", "Share of each lead in the falls", ["Class", *leads], shares),
    ]
    return [Section("Where it looked", [_RULES, _TEST], figures, tables)]


def occlusion_summary(
    found: Sequence[Occluded], classes: Sequence[str], leads: Sequence[str]
) -> dict[str, Any]:
    """Return, for summary.json, the deletion test and the shares of leads by class."""
    if not found:
        return {}
    return {
        "occlusion": {
            classes[column]: {
                "records": test.records,
                **{name: _known(getattr(test, name)) for name in test._fields[1:]},
                "lead_shares": {
                    lead: float(share) if math.isfinite(share) else None
                    for lead, share in zip(leads, lead_shares(found, column), strict=True)
                },
            }
            for column, test in deletion_tests(found).items()
        }
    }


def _known(interval: Interval) -> dict[str, float | None]:
    return {
        name: value if math.isfinite(value) else None
        for name, value in interval_as_dict(interval).items()
    }

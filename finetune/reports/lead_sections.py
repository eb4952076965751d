"""Sections on leads: the need for them, their weights, the gate of a hybrid."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from finetune.evaluation.lead_masking import LeadNeed, set_name
from finetune.experiment.candidate_results import ExperimentResults
from finetune.reports.lead_figures import (
    PANELS,
    draw_by_class,
    draw_fewer_leads,
    draw_gates,
    draw_lead_weights,
)
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section
from lamae.ecg.leads import LEAD_GROUPS
from lamae.statistics.interval import Interval
from lamae.statistics.ranking_of_few import ScoreIntervals

MACRO = "Macro average"

_UNSEEN = (
    "A lead is taken by telling the classifier that the recording lacks it. One that was never "
    "trained with absent leads meets what it has not seen, and loses for that reason too: it may "
    "lose more than one that is trained without these leads."
)
_UNSEEN_ALONE = (
    "Trained with so few leads it might do better; one that was never trained with absent leads "
    "may even rank below chance."
)
_ALGEBRA = (
    "Any two limb leads give the other four exactly, and those that are taken are not computed "
    "again: what is asked is which leads it reads. To take one of them, or I with aVL, takes no "
    "information from the recording, and a recording that lacks them loses nothing; to take "
    "V1-V3, or all limb leads, does."
)
_INDEPENDENT = "None of its leads follows from the others: each takes information with it."
_COMPUTED = (
    "Two limb leads give the other four, which are computed for a recording that has two, so that "
    "it reads these as well; sets that give it the same leads have the same AUROC."
)
_NO_EXPLANATION = (
    "Weights tell how much of each lead's vector goes into the sum. Behind layers between leads "
    "that vector holds what other leads show as well, so that a lead without weight may matter and "
    "one with weight may not: what a classifier loses without a lead tells whether it needs it."
)


def lead_sections(
    results: ExperimentResults, leads: Sequence[str], need: LeadNeed | None
) -> list[Section]:
    """Return what there is to say of leads; nothing of what was not measured.

    Args:
        results: of which the first result is the classifier in question.
        leads: names of the leads that it reads, in their order.
        need: what it loses without leads.
    """
    own, labels = next(iter(results.by_candidate.values())), results.task.evaluation.labels
    number = labels.sum(axis=0)
    frequent = sorted(np.flatnonzero(number), key=lambda column: -number[column])
    members = {results.task.classes[column]: labels[:, column] for column in frequent}
    sections = []
    if need is not None:
        parts = (_losses, _alone, _fewer) if need.sets.without else (_alone, _fewer)
        sections += [part(need, list(members)) for part in parts]
    if own.lead_weights is not None:
        sections.append(_weights(own.lead_weights, leads, members))
    if own.gate is not None:
        sections.append(_gate(own.gate, members))
    return sections


def lead_need_summary(need: LeadNeed | None) -> dict[str, Any]:
    """Return, for summary.json, AUROC lost without leads, and left with one lead or with fewer.

    Macro averages are by leads, and what `_by_class` has is by class as well.
    """
    if need is None:
        return {}
    sets, measured = need.sets, need.measured
    lost = {
        f"without {what}": measured.differences[set_name(s)] for what, s in sets.without.items()
    }
    alone = {lead: measured.models[set_name(shown)] for lead, shown in sets.alone.items()}
    fewer = {set_name(device): measured.models[set_name(s)] for device, s in sets.fewer.items()}
    named = {"lead_masking": lost, "lead_alone": alone, "fewer_leads": fewer}
    macro = {
        name: {what: scores.auroc_macro._asdict() for what, scores in found.items()}
        for name, found in named.items()
    }
    by_class = {
        f"{name}_by_class": {
            what: {one: interval._asdict() for one, interval in scores.auroc.items()}
            for what, scores in found.items()
        }
        for name, found in named.items()
    }
    return macro | by_class


def _losses(need: LeadNeed, classes: Sequence[str]) -> Section:
    taken = {name: need.measured.differences[set_name(s)] for name, s in need.sets.without.items()}
    lost = {
        name: {what: found for what, scores in taken.items() if (found := _auroc(scores, name))}
        for name in (MACRO, *classes)
    }
    lost = {name: found for name, found in lost.items() if found}
    most = {what: max(taken[what].auroc, key=lambda name: lost[name][what]) for what in taken}
    limb = len(set(need.sets.everything) & set(LEAD_GROUPS["limb"]))
    groups = "; ".join(
        f"{name} is {', '.join(lead for lead in need.sets.everything if lead in group)}"
        for name, group in LEAD_GROUPS.items()
        if name in taken
    )
    text = [
        "AUROC with all leads minus AUROC without some, on the same resamples of patients, for "
        f"{need.measured.records} recordings that have all leads. "
        f"Of those that it reads, {groups}.",
        _UNSEEN,
        _ALGEBRA if limb > 2 else _INDEPENDENT,
    ]
    caption = f"Filled where the interval does not hold 0. {_limit(len(lost))}".strip()
    drawn = draw_by_class(lost, xlabel="AUROC lost without these leads", reference=0.0)
    figure = NamedFigure("lead_masking", drawn, caption)
    rows: list[list[Cell]] = [
        [what, scores.auroc_macro, most[what], scores.auroc[most[what]]]
        for what, scores in taken.items()
    ]
    columns = ["Without", "Macro AUROC lost", "Class that loses most", "AUROC it loses"]
    page = NamedTable("lead_masking", "AUROC lost without leads", columns, rows)
    every: list[list[Cell]] = [
        [name, what, interval] for name, found in lost.items() for what, interval in found.items()
    ]
    columns = ["Class", "Without", "AUROC lost"]
    file = NamedTable("lead_masking_by_class", page.caption, columns, every, on_page=False)
    return Section("What it loses without leads", text, [figure], [page, file])


def _alone(need: LeadNeed, classes: Sequence[str]) -> Section:
    scores = {lead: need.measured.models[set_name(s)] for lead, s in need.sets.alone.items()}
    left = {
        name: {lead: found for lead, part in scores.items() if (found := _auroc(part, name))}
        for name in (MACRO, *classes)
    }
    left = {name: found for name, found in left.items() if found}
    text = [
        "AUROC with one lead and no other. What several leads show alike is not lost without one "
        "of them, and so does not show in what is lost; it shows here.",
        _UNSEEN_ALONE,
    ]
    caption = f"Filled where the interval does not hold 0.5. {_limit(len(left))}".strip()
    drawn = draw_by_class(left, xlabel="AUROC with this lead alone", reference=0.5)
    figure = NamedFigure("lead_alone", drawn, caption)
    rows: list[list[Cell]] = [
        [name, lead, interval] for name, found in left.items() for lead, interval in found.items()
    ]
    columns = ["Class", "Lead", "AUROC"]
    file = NamedTable("lead_alone", "AUROC with one lead", columns, rows, on_page=False)
    return Section("What one lead tells it", text, [figure], [file])


def _fewer(need: LeadNeed, classes: Sequence[str]) -> Section:
    fewer = need.sets.fewer
    found = {device: need.measured.models[set_name(given)] for device, given in fewer.items()}
    text = [
        "The same classifier, not trained anew, with fewer leads: those of the PhysioNet/CinC "
        "Challenge 2021, the eight independent ones, and lead I alone, as far as it reads them.",
        *([_COMPUTED] if any(device != given for device, given in fewer.items()) else []),
        _UNSEEN_ALONE,
    ]
    curve = [(device, scores.auroc_macro) for device, scores in found.items()]
    figure = NamedFigure("fewer_leads", draw_fewer_leads(curve), "With intervals by patient.")
    rows: list[list[Cell]] = [[len(device), set_name(device), macro] for device, macro in curve]
    columns = ["Number of leads", "Leads", "Macro AUROC"]
    page = NamedTable("fewer_leads", "Macro AUROC with fewer leads", columns, rows)
    every: list[list[Cell]] = [
        [len(device), name, scores.auroc[name]]
        for device, scores in found.items()
        for name in classes
        if name in scores.auroc
    ]
    columns = ["Number of leads", "Class", "AUROC"]
    file = NamedTable("fewer_leads_by_class", "AUROC by class", columns, every, on_page=False)
    return Section("What it can do with fewer leads", text, [figure], [page, file])


def _weights(
    weights: Float[np.ndarray, "records leads"],
    leads: Sequence[str],
    members: Mapping[str, Bool[np.ndarray, " records"]],
) -> Section:
    quartiles = {name: _quartiles(weights[has]) for name, has in members.items()}
    rows: list[list[Cell]] = [
        [name, int(members[name].sum()), lead, *map(float, found[:, column])]
        for name, found in quartiles.items()
        for column, lead in enumerate(leads)
    ]
    caption = (
        "A dot at the median over the recordings that show the class, a bar from the lower to the "
        f"upper quartile, a dotted line where all are equal. {_limit(len(quartiles))}"
    ).strip()
    figure = NamedFigure("lead_weights", draw_lead_weights(quartiles, leads), caption)
    columns = ["Class", "Recordings", "Lead", "Lower quartile", "Median", "Upper quartile"]
    table = NamedTable("lead_weights", "Weights of leads", columns, rows, on_page=False)
    return Section("How it weighs the leads", [_NO_EXPLANATION], [figure], [table])


def _gate(
    gate: Float[np.ndarray, " records"], members: Mapping[str, Bool[np.ndarray, " records"]]
) -> Section:
    quartiles = {name: _quartiles(gate[has]) for name, has in members.items()}
    rows: list[list[Cell]] = [
        [name, int(members[name].sum()), *map(float, found)] for name, found in quartiles.items()
    ]
    text = [
        "The gate gives each feature a share of the encoder, and LASAN the rest; this is its mean "
        "over features. Both are normalised before it, yet the two can say the same: a share tells "
        "what is read, not what would be missed."
    ]
    caption = (
        "A dot at the median over the recordings that show the class, a bar from the lower to the "
        f"upper quartile. {_limit(len(quartiles))}"
    ).strip()
    figure = NamedFigure("gate", draw_gates(quartiles), caption)
    columns = ["Class", "Recordings", "Lower quartile", "Median", "Upper quartile"]
    table = NamedTable("gate", "Share of the encoder", columns, rows)
    return Section("What the hybrid takes from its encoder", text, [figure], [table])


def _auroc(scores: ScoreIntervals, name: str) -> Interval | None:
    return scores.auroc_macro if name == MACRO else scores.auroc.get(name)


def _quartiles(values: np.ndarray) -> np.ndarray:
    return np.quantile(values, (0.25, 0.5, 0.75), axis=0)


def _limit(classes: int) -> str:
    if classes <= PANELS:
        return ""
    return f"The first {PANELS} of {classes}, from the most frequent on; the tables hold all."

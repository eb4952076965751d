"""The first sections of a report: in plain words, the cohort, and the flow of recordings."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from finetune.evaluation.ranking_measures import DIFFERENCES, FREQUENT
from finetune.reports.findings import MODES
from finetune.reports.page import capitalised, interval_of
from finetune.reports.sections import Cell, NamedFigure, NamedTable, Section
from finetune.settings import FinetuneSettings
from lamae.figures.plots import INK, MUTED, STYLE

_SPLITS = {"train": "Learnt from", "evaluation": "Asked about"}
_FLOORS = {
    "random": "the same with an encoder at random weights",
    "kernels": "features that nothing was trained for",
    "supervised": "a small network trained on the same recordings",
}
_NOT_FOR = (
    "It may not be used to diagnose or treat anybody. What is told holds for recordings and "
    "patients like these: nothing here says how it does in another hospital, with another device, "
    "at another age, or where labels were given by others. It answers only for the classes named, "
    "and calls what is none of them one of them or nothing."
)


def plain_section(summary: Mapping[str, Any], settings: FinetuneSettings) -> Section:
    """Say in plain words what was asked, of whom, what came out, and what it is not for."""
    few = summary["classes_of_few_patients"]
    number = len(summary["per_class"]) - (0 if len(few) == len(summary["per_class"]) else len(few))
    mean = f"auroc{FREQUENT}" if f"auroc{FREQUENT}" in summary else "auroc_macro"
    trained, asked = (summary["cohort"][name] for name in _SPLITS)
    text = [
        f"The question was how well {MODES[settings.mode]} tells from an ECG which of "
        f"{len(summary['per_class'])} classes of {settings.label_set!r} it shows. It learnt from "
        f"{_people(trained)}, and was asked about {_people(asked)} whom it had not met, those of "
        f"split {settings.eval_split!r}{_facts(asked['facts'])}.",
        f"Of two recordings, one with a class and one without, it ranks the one with it higher in "
        f"{_percent(summary[mean])} of cases, {_mean_over(number)}. "
        + " ".join(_floors(summary, mean))
        + " Guessing gives 50 %.",
        _split_sentence(settings.eval_split),
        _NOT_FOR,
    ]
    return Section("In plain words", text, is_prose=True)


def cohort_section(summary: Mapping[str, Any]) -> Section:
    """Tabulate the cohort by split and class, and draw the flow of recordings to it."""
    parts = {name: summary["cohort"][name] for name in _SPLITS}
    rows: list[Sequence[Cell]] = [
        ("Recordings", None, *(part["records"] for part in parts.values())),
        ("Patients", None, *(part["patients"] for part in parts.values())),
    ]
    for fact in parts["evaluation"]["facts"]:
        rows += _fact_rows(fact, [part["facts"][fact] for part in parts.values()])
    for name in parts["evaluation"]["classes"]:
        own = [part["classes"][name] for part in parts.values()]
        rows.append((f"Class {name}", "recordings", *(each["records"] for each in own)))
        rows.append((f"Class {name}", "patients", *(each["patients"] for each in own)))
    for flag in sorted({flag for part in parts.values() for flag in part["flags"]}):
        counted = (part["flags"].get(flag, 0) for part in parts.values())
        rows.append((f"Flag {flag}", "recordings", *counted))
    columns = ["Of", "What", *_SPLITS.values()]
    text = []
    if not parts["evaluation"]["facts"]:
        text.append("The shards hold neither age nor sex: who these people are is not known here.")
    steps = summary["flow"]
    taken: list[Sequence[Cell]] = [
        (step["step"], step["records"], reason, number)
        for step in steps
        for reason, number in (step["taken"] or {None: None}).items()
    ]
    return Section(
        "Cohort",
        text,
        [NamedFigure("flow", flow_figure(steps), "Recordings from the source to the evaluation.")],
        [
            NamedTable("cohort", "Who was learnt from and asked about", columns, rows),
            NamedTable(
                "flow",
                "Recordings from the source to the evaluation",
                ["Step", "Recordings", "Left out", "Number"],
                taken,
                on_page=False,
            ),
        ],
    )


@matplotlib.rc_context(STYLE)
def flow_figure(steps: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a box for each step, and beside the arrow to it what was left out by reason."""
    figure = Figure(figsize=(5.0, 0.3 + 0.9 * len(steps)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, 10), ylim=(-len(steps) + 0.25, 0.65))
    box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": INK}
    for place, step in enumerate(steps):
        text = f"{capitalised(step['step'])}\n{step['records']:,} recordings"
        axes.text(2.6, -place, text, ha="center", va="center", fontsize=9.5, bbox=box)
        if place:
            arrow = {"arrowstyle": "->", "color": INK, "shrinkA": 16, "shrinkB": 16}
            axes.annotate("", (2.6, -place), (2.6, 1 - place), arrowprops=arrow)
        if step["taken"]:
            lines = [f"{number:,} {reason.replace('_', ' ')}" for reason, number in _most(step)]
            told = "left out: " + "\n".join(lines)
            axes.text(5.2, 0.5 - place, told, ha="left", va="center", fontsize=8.5, color=MUTED)
    figure.set_label(
        "Flow of recordings: " + "; ".join(f"{step['step']} {step['records']:,}" for step in steps)
    )
    return figure


def _most(step: Mapping[str, Any]) -> list[tuple[str, int]]:
    ordered = sorted(step["taken"].items(), key=lambda item: -item[1])
    if len(ordered) <= 3:
        return ordered
    return [*ordered[:2], ("for other reasons", sum(number for _, number in ordered[2:]))]


def _people(part: Mapping[str, Any]) -> str:
    return f"{part['records']:,} recordings of {part['patients']:,} patients"


def _percent(found: Mapping[str, float]) -> str:
    estimate, low, high = (100 * value for value in interval_of(found))
    return f"{estimate:.1f} % (95 % interval {low:.1f} to {high:.1f})"


def _mean_over(number: int) -> str:
    return "for the one class that is counted" if number == 1 else f"a mean over {number} classes"


def _floors(summary: Mapping[str, Any], mean: str) -> list[str]:
    found = []
    for name, difference in DIFFERENCES.items():
        if f"{mean}_{name}" not in summary:
            continue
        between = interval_of(summary[f"{mean}{difference}"])
        told = "no clear difference"
        if between.low > 0 or between.high < 0:
            told = "clearly less" if between.low > 0 else "clearly more"
        found.append(f"With {_FLOORS[name]} it is {_percent(summary[f'{mean}_{name}'])}: {told}.")
    return found or ["It was compared with no baseline."]


def _split_sentence(split: str) -> str:
    if split == "test":
        return "Split 'test' is for a final evaluation: what is changed after a look at it is not."
    return (
        f"Split {split!r} is for development: whoever chose settings by it has seen it, and the "
        "result is on the bright side. The final evaluation is on split 'test', by the verb final."
    )


def _facts(facts: Mapping[str, Any]) -> str:
    told = []
    for fact, found in facts.items():
        if found.get("quartiles"):
            low, middle, high = found["quartiles"]
            told.append(f"{fact} {middle:g} at the median, {low:g} to {high:g} for the middle half")
        elif found.get("values") and found["different"] <= 6:
            total = sum(found["values"].values())
            values = (f"{value} {100 * n / total:.0f} %" for value, n in found["values"].items())
            told.append(f"{fact} {', '.join(values)}")
        elif found.get("range"):
            told.append(f"{fact} from {found['range'][0]} to {found['range'][1]}")
    return f" ({'; '.join(told)})" if told else ""


def _fact_rows(fact: str, found: Sequence[Mapping[str, Any]]) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = []
    name = capitalised(fact)
    if "quartiles" in found[0]:
        told = [
            "{1:g} ({0:g} to {2:g})".format(*each["quartiles"]) if each["quartiles"] else None
            for each in found
        ]
        rows.append((name, "median (quartiles)", *told))
    else:
        values = dict.fromkeys(value for each in found for value in each["values"])
        rows += [
            (name, value, *(each["values"].get(value, 0) for each in found)) for value in values
        ]
    rows.append((name, "missing", *(each["missing"] for each in found)))
    return rows

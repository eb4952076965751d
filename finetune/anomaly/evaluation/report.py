"""Tables of a detector's report: its scores, and what thresholds of one achieve."""

from collections.abc import Mapping

from finetune.anomaly.evaluation.measures import Measured
from finetune.reports.sections import Cell, NamedTable, Section

_COLUMNS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity_at_90_specificity": "Sensitivity at 90 % specificity",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}


def measure_sections(measured: Measured, *, score: str, rule: str) -> list[Section]:
    """Show all scores, and all rules for the chosen score; what was chosen stands first."""
    scores: dict[str, list[Cell]] = {
        name: [*found.values()] for name, found in measured.ranking.items()
    }
    rules: dict[str, list[Cell]] = {
        name: [f"{measured.thresholds[name].values[0]:.4g}", *found.values()]
        for name, found in measured.deciding.items()
    }
    ranks = [_COLUMNS[name] for name in next(iter(measured.ranking.values()))]
    decides = ["Threshold", *(_COLUMNS[name] for name in next(iter(measured.deciding.values())))]
    return [
        Section(
            "How well scores tell abnormal recordings",
            [
                "Each estimate with its interval, from bootstrap resamples of patients. In bold "
                "the score that was chosen before."
            ],
            tables=[_table("scores", ["Score", *ranks], scores, chosen=score)],
        ),
        Section(
            f"What thresholds of score {score} achieve",
            [
                "Thresholds were chosen on held-out patients of the training split. In bold the "
                "rule that the detector keeps."
            ],
            tables=[_table("thresholds", ["Rule", *decides], rules, chosen=rule)],
        ),
    ]


def _table(
    name: str, columns: list[str], cells: Mapping[str, list[Cell]], *, chosen: str
) -> NamedTable:
    rows = [[key, *cells[key]] for key in sorted(cells, key=lambda key: key != chosen)]
    return NamedTable(name, f"By {columns[0].lower()}", columns, rows, leading=1)

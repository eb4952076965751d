"""The figures of the documents, taken from finished runs into one file that tests hold them to.

.venv/bin/python benchmarks/figures.py docs/results/figures.json NAME=RUN [NAME=RUN ...]
Adds each run of finetune/main.py under its name, or replaces it; what else the file has stays. Of a
run it keeps AUROC and average precision with their intervals, of all classes together and, where
there are ten at most, of each, for the model, its baselines and their differences, and how many
recordings and patients they are of. Nothing is computed here, and no path of a machine is kept.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from lamae.files import write_json
from lamae.runs.tracking import read_summary

KEPT = re.compile(r"(auroc|auprc)(_macro)?(_|$)")
MOST_CLASSES = 10
SETTINGS = ("label_set", "mode", "pooling", "label_fraction", "seed", "train_split", "eval_split")


def main(arguments: list[str]) -> None:
    """Write the file anew with the runs that are named."""
    if len(arguments) < 2 or not all("=" in argument for argument in arguments[1:]):
        sys.exit(__doc__)
    file = Path(arguments[0])
    figures = json.loads(file.read_text()) if file.exists() else {}
    for argument in arguments[1:]:
        name, _, run = argument.partition("=")
        figures[name] = figures_of(Path(run))
    write_json(file, dict(sorted(figures.items())))


def figures_of(run: Path) -> dict[str, Any]:
    """Return what is kept of a run."""
    summary = read_summary(run)
    counts = summary["counts"]["evaluation"]
    by_class = summary["per_class"] if len(summary["per_class"]) <= MOST_CLASSES else {}
    return {
        "settings": {name: summary["config"][name] for name in SETTINGS},
        "recordings": counts["records"],
        "patients": counts["patients"],
        "training_recordings": summary["counts"]["train"]["records"],
        "measures": _measures(summary),
        "classes": {
            name: {"positives": found["positives"], **_measures(found)}
            for name, found in by_class.items()
        },
    }


def _measures(found: dict[str, Any]) -> dict[str, list[float]]:
    """Return estimate, lower and upper end of each measure that is kept, by its name."""
    return {
        name: [round(value[part], 5) for part in ("estimate", "low", "high")]
        for name, value in found.items()
        if KEPT.match(name) and isinstance(value, dict) and value.get("estimate") is not None
    }


if __name__ == "__main__":
    main(sys.argv[1:])

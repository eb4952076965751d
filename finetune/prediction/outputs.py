"""Files of results, each with a small one beside it that tells where it comes from."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from finetune.prediction.settings import ModelSettings
from lamae.files import open_whole, write_csv, write_json
from lamae.pretrained.answers import Outcome
from lamae.pretrained.pretrained import Pretrained
from lamae.pretrained.tables import Table, tidy_table, wide_table
from lamae.runs.tracking import run_summary


def write_table(path: Path, table: Table) -> None:
    """Write a table in the form that the ending of a path names, whole or not at all."""
    if path.suffix == ".parquet":
        frame = table.frame()
        with open_whole(path) as file:
            frame.to_parquet(file, index=False)
        return
    rows = [[None if value != value else value for value in row] for row in table.rows]  # NaN
    if path.suffix == ".json":
        write_json(path, [dict(zip(table.columns, row, strict=True)) for row in rows])
    else:
        write_csv(path, table.columns, ([_cell(value) for value in row] for row in rows))


def outcome_table(outcomes: Sequence[Outcome], model: Pretrained, *, layout: str) -> Table:
    """Return the answers as a table of a layout, `tidy` or `wide`."""
    if layout == "wide":
        return wide_table(outcomes, model.classes)
    return tidy_table(outcomes, model.classes, model.deciding, value=model.value)


def write_about(settings: ModelSettings, model: Pretrained, counts: dict[str, int]) -> None:
    """Write model, checksum, command, settings, versions and counts beside the output."""
    assert settings.output is not None, "there is none to stand beside"
    release = model.release
    told: dict[str, Any] = {
        "model": {
            "name": model.name,
            "kind": model.kind,
            "version": release.version if release else None,
            "sha256": model.checksum,
        },
        "counts": counts,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(about_path(settings.output), told | run_summary(settings))


def about_path(output: Path) -> Path:
    """Return the place of the file that tells where an output comes from."""
    return output.with_name(f"{output.name}.about.json")


def counts_of(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Count recordings: all, answered, with cautions, with a problem."""
    answers = [outcome.answer for outcome in outcomes if outcome.answer]
    return {
        "recordings": len(outcomes),
        "answered": len(answers),
        "with_cautions": sum(bool(answer.cautions) for answer in answers),
        "with_a_problem": len(outcomes) - len(answers),
    }


def told(counts: dict[str, int]) -> str:
    """Return counts as a sentence."""
    return (
        f"{counts['answered']} of {counts['recordings']} recordings answered, "
        f"{counts['with_cautions']} with cautions, {counts['with_a_problem']} with a problem"
    )


def _cell(value: object) -> object:
    return "" if value is None else int(value) if isinstance(value, bool) else value

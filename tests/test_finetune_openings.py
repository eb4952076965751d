"""The log of a test split says each time that it was opened, and is never shortened."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.final import final_settings
from finetune.openings import OPENINGS, log_opening, openings
from finetune.run_settings import FinalSettings
from lamae.errors import InputError
from lamae.files import write_json
from lamae.runs.tracking import SUMMARY


def write_run(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    given = {"data": str(folder / "shards"), "mode": "lasan", "seed": 3, **config}
    write_json(folder / SUMMARY, {"config": given})
    return folder


def test_every_opening_adds_a_line_with_its_number_and_time(tmp_path: Path) -> None:
    def opened() -> int:
        return log_opening(tmp_path / "run", split="test", recordings=3, shards="d" * 64)

    assert openings(tmp_path / "run") == []
    assert [opened() for _ in range(3)] == [1, 2, 3]
    lines = [json.loads(line) for line in (tmp_path / "run" / OPENINGS).read_text().splitlines()]
    assert [line["opening"] for line in lines] == [1, 2, 3]
    assert {line["recordings"] for line in lines} == {3}
    assert all(line["opened"].endswith("+00:00") for line in lines)


def test_the_final_evaluation_changes_the_split_and_the_folder_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    found = final_settings(FinalSettings(run=run))
    assert (found.eval_split, found.seed, found.mode) == ("test", 3, "lasan")
    assert found.run_dir == run / "final" and found.embeddings == run / "embeddings"


@pytest.mark.parametrize(
    ("config", "told"),
    [({"eval_split": "test"}, "evaluated on 'test' already"), ({"folds": 5}, "no run of one")],
)
def test_a_run_that_was_developed_on_the_split_or_has_many_classifiers_is_refused(
    config: dict[str, Any], told: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", **config)
    with pytest.raises(InputError, match=told):
        final_settings(FinalSettings(run=run))

"""The table of a sweep: what differs, what was found, and which runs have found nothing."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from finetune.comparison.collect import find_runs, main
from lamae.errors import InputError


def finish(run: Path, *, seed: int, estimate: float, **results: Any) -> None:
    run.mkdir(parents=True)
    config = {"run_dir": str(run), "seed": seed, "probe": {"l2": 0.5}, "label_set": "form|rhythm"}
    interval = {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1}
    summary = {"command": "python", "config": config, "seed": seed, "auroc_macro": interval}
    counts = {"train": {"records": 3}}
    (run / "summary.json").write_text(json.dumps(summary | {"counts": counts} | results))


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_each_run_with_what_differs_and_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(tmp_path / "a", seed=0, estimate=0.75, features=16)
    finish(tmp_path / "b", seed=1, estimate=0.25)
    main([str(tmp_path)])
    first, second = rows_of(tmp_path)
    assert list(first) == [
        "run", "state", "seed", "auroc_macro", "auroc_macro_low", "auroc_macro_high", "features",
    ]  # fmt: skip
    assert list(first.values()) == ["a", "finished", "0", "0.75", "0.65", "0.85", "16"]
    assert (second["seed"], second["auroc_macro"], second["features"]) == ("1", "0.25", "")
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "table.md").read_text()
    assert printed.splitlines()[2:] == [
        "| a | finished | 0 | 0.750 [0.650, 0.850] |",
        "| b | finished | 1 | 0.250 [0.150, 0.350] |",
    ]


def test_runs_that_failed_or_never_began_are_named_with_how_to_run_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.txt").write_text("seed=0\nseed=1\nseed=2\nseed=3\n")
    finish(tmp_path / "2", seed=2, estimate=0.5)
    finish(tmp_path / "0", seed=0, estimate=float("nan"))
    (tmp_path / "1").mkdir()
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 1
    states = [(row["run"], row["state"]) for row in rows_of(tmp_path)]
    assert states == [
        ("0", "finished"), ("1", "unfinished"), ("2", "finished"), ("3", "missing"),
    ]  # fmt: skip
    message = "without a result: 1 (unfinished), 3 (missing); to run them again: --array=1,3\n"
    assert capsys.readouterr().err == message


def test_settings_differ_by_their_dotted_names_and_bars_do_not_break_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(tmp_path / "a", seed=0, estimate=0.5)
    other = {"seed": 0, "probe": {"l2": 0.1}, "label_set": "form"}
    finish(tmp_path / "b", seed=0, estimate=0.5, config=other)
    main([str(tmp_path)])
    header, _, first, second = capsys.readouterr().out.splitlines()
    assert header == "| run | state | probe.l2 | label_set | auroc_macro |"
    assert first.startswith(r"| a | finished | 0.5 | form\|rhythm |")
    assert second.startswith("| b | finished | 0.1 | form |")


def test_a_folder_without_runs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="holds no run"):
            find_runs(folder)
    for arguments in ([], [str(tmp_path)]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "usage: python -m finetune.comparison.collect FOLDER" in capsys.readouterr().err

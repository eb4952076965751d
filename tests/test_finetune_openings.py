"""The log of a test split says each time that it was opened, and is never shortened."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.final import FOLDER, evaluate_finally, final_settings
from finetune.openings import OPENINGS, log_opening, openings
from finetune.run import finetune
from finetune.run_settings import FinalSettings
from lamae.errors import InputError
from lamae.files import write_json
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from shards.simulator.data_set import simulate
from shards.simulator.settings import SimulateSettings
from tests.conftest import MakeProbe, small_build


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


@pytest.fixture(scope="module")
def shards_with_test_split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build shards of 60 recordings, a quarter of the patients in each of val and test."""
    folder = tmp_path_factory.mktemp("final")
    drawn = {"records": 60, "classes": ("sinus", "LBBB"), "duration_s": 5, "sampling_rate": 100}
    simulate(SimulateSettings.model_validate({"output": folder / "recordings", **drawn}))
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    shards = small_build(folder / "recordings", folder / "shards", split=split)
    build_shards(ShardsSettings.model_validate(shards))
    return folder / "shards"


@pytest.mark.slow
def test_a_final_evaluation_is_on_the_test_split_and_each_is_counted_once(
    make_probe: MakeProbe, shards_with_test_split: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    finetune(make_probe(data=shards_with_test_split, run_dir=run, baselines=()))
    assert openings(run) == []
    for number, times in enumerate(("first", "second"), 1):
        told = evaluate_finally(FinalSettings(run=run, overwrite=number > 1, cpu_threads=1))
        assert f"opened for the {times} time" in told[0]
        assert len(openings(run)) == number
    assert openings(run / FOLDER) == []
    corpus = Corpus(shards_with_test_split)
    scored = (run / FOLDER / "predictions.csv").read_text().splitlines()[1:]
    keys = {str(key) for key in corpus.keys[corpus.rows("test")]}
    assert {line.split(",")[0] for line in scored} == keys

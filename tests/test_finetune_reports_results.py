"""A run that replaces another leaves nothing that could be taken for its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from accelerate import Accelerator, PartialState

from finetune.experiment.train_and_score import Experiment
from finetune.overwriting import clear_results
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from lamae.errors import InputError
from lamae.runs.tracking import SUMMARY

MakeProbe = Callable[..., FinetuneSettings]


def former_results(folder: Path) -> None:
    for name in ("figures/old.svg", "tables/old.csv", SUMMARY, "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")


def fail(*_: object) -> None:
    raise OSError("a disk that is full")


def test_a_run_that_replaces_another_removes_its_results_before_it_trains(
    make_probe: MakeProbe, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_probe(overwrite=True)
    assert settings.run_dir
    former_results(settings.run_dir)
    monkeypatch.setattr(Experiment, "run", fail)
    with pytest.raises(OSError, match="a disk that is full"):
        finetune(settings)
    assert [path.name for path in settings.run_dir.iterdir()] == ["notes.txt"]


def test_a_run_whose_input_is_wrong_removes_nothing(
    make_probe: MakeProbe, accelerator: Accelerator
) -> None:
    settings = make_probe(overwrite=True, label_set="none such")
    assert settings.run_dir
    former_results(settings.run_dir)
    with pytest.raises(InputError, match="none such"):
        finetune(settings)
    assert sorted(path.name for path in settings.run_dir.iterdir()) == [
        "figures",
        "notes.txt",
        SUMMARY,
        "tables",
    ]


@pytest.mark.parametrize("is_main", [True, False])
def test_the_main_process_alone_removes_results(
    is_main: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / SUMMARY).write_text("{}")
    monkeypatch.setattr(PartialState, "is_main_process", is_main)
    clear_results(tmp_path)
    assert (tmp_path / SUMMARY).exists() != is_main

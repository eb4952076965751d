"""A check of a run finds what would stop it, says what to do, and leaves nothing behind."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from lamae.config import as_yaml
from lamae.model.autoencoder import LAMAE
from pretrain import trial
from pretrain.cost.memory import STATE_BYTES
from pretrain.loop import reconstruct
from pretrain.processes.check import machine, program, step, storage
from pretrain.processes.check.table import BAD_NODES, Found, Line, failed
from pretrain.settings import PretrainSettings

MakeSettings = Callable[..., PretrainSettings]
Launch = Callable[..., CompletedProcess[str]]
READ_ONLY = "/sys/kernel/run"  # where not even root may make a folder
LINES = ["devices", "bf16", "exchange", "run folder", "shards", "memory", "step", "duration"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_READ_S", 0.0)
    monkeypatch.setattr(storage, "_LARGEST_FILE", 2**16)


def table(settings: PretrainSettings, accelerator: Accelerator) -> dict[str, Line]:
    return {line.subject: line for line in program.table(settings, accelerator, trial.Trial)}


def test_a_run_that_would_go_passes_and_nothing_is_left(
    make_settings: MakeSettings, accelerator: Accelerator, tmp_path: Path
) -> None:
    settings = make_settings(run_dir=tmp_path / "deep" / "run")
    found = table(settings, accelerator)
    found.pop("reading", None)  # a warning of a slow machine
    assert list(found) == LINES
    assert {line.result for line in found.values()} == {"pass"}
    assert not list(tmp_path.iterdir())
    assert "for 8 steps on 1 processes" in found["duration"].found


def test_a_run_folder_that_cannot_be_written_and_shards_that_are_missing_fail_with_sentences(
    make_settings: MakeSettings, accelerator: Accelerator, tmp_path: Path
) -> None:
    settings = make_settings(run_dir=READ_ONLY, data=tmp_path / "none")
    found = table(settings, accelerator)
    assert list(found) == LINES[:5]  # a step needs shards
    folder, shards = found["run folder"], found["shards"]
    assert (folder.result, shards.result) == ("fail", "fail")
    assert re.search(r"/sys/kernel/run.*: Operation not permitted|Permission", folder.found)
    assert "Get permission, or name another folder" in folder.found
    assert f"shards {tmp_path / 'none'}" in shards.found
    assert not folder.bad_nodes and not shards.bad_nodes


@pytest.mark.slow
def test_a_folder_with_checkpoints_fails_without_resume_and_is_left_as_it_is(
    make_settings: MakeSettings, accelerator: Accelerator, pretrained_run: Path
) -> None:
    before = sorted(pretrained_run.rglob("*"))
    found = table(make_settings(run_dir=pretrained_run), accelerator)
    assert found["run folder"].result == "fail"
    assert "Give resume=true" in found["run folder"].found
    found = table(make_settings(run_dir=pretrained_run, resume=True, steps=16), accelerator)
    assert found["run folder"].result == "pass"
    assert "for 8 steps" in found["duration"].found  # those that remain
    found = table(make_settings(run_dir=pretrained_run, resume=True), accelerator)
    assert found["duration"].found == "none: the run has done its 8 steps"
    assert sorted(pretrained_run.rglob("*")) == before


def test_a_batch_that_does_not_fit_fails_with_an_accumulation_that_does(
    make_settings: MakeSettings, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(batch_size=12)
    parameters = sum(p.numel() for p in LAMAE(settings.model).parameters())
    alone = step.planned_bytes(settings, LAMAE(settings.model), 1) - STATE_BYTES * parameters
    room = int(STATE_BYTES * parameters + 4.5 * alone)  # for four recordings of twelve
    monkeypatch.setattr(trial, "device_of", lambda _: machine.Device("CPU", room, room))
    found = table(settings, accelerator)
    assert found["memory"].result == "fail"
    assert found["memory"].remedy == "Set accumulation=3."
    monkeypatch.setattr(trial, "device_of", lambda _: machine.Device("CPU", room, 10))
    assert "with one recording at a time" in table(settings, accelerator)["memory"].found


def test_the_plan_counts_the_moving_average_and_what_checkpointing_spares(
    make_settings: MakeSettings,
) -> None:
    model = LAMAE(make_settings().model)
    weights = sum(parameter.nbytes for parameter in model.parameters())

    def planned(**changes: Any) -> float:
        return step.planned_bytes(make_settings(**changes), model, 8)

    assert planned(ema=0.9) - planned() == weights
    assert 4 * weights < planned(activation_checkpointing=True) < planned()


def test_a_part_that_runs_out_of_memory_does_not_fit_and_a_smaller_one_does(
    make_settings: MakeSettings, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, by an error that the test raises for more than two recordings."""
    monkeypatch.setattr(trial.Trial, "_plan_fits", trial.Trial._part_fits)

    def limited(training: Any, model: Any, arguments: dict[str, Any]) -> Any:
        if len(arguments["signal"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return reconstruct(training, model, arguments)

    monkeypatch.setattr(trial, "reconstruct", limited)
    found = table(make_settings(batch_size=8), accelerator)
    assert (found["memory"].result, found["memory"].remedy) == ("fail", "Set accumulation=4.")
    assert found["step"].result == "pass"


def test_accumulations_are_those_that_divide_the_batch(make_settings: MakeSettings) -> None:
    settings = make_settings(batch_size=24, accumulation=2)
    assert list(step.candidates(settings, processes=2)) == [2, 3, 4, 6, 12]


def test_a_batch_that_cannot_be_divided_fails(
    make_settings: MakeSettings, accelerator: Accelerator
) -> None:
    found = table(make_settings(batch_size=9, accumulation=2), accelerator)
    assert found["batch"].result == "fail" and "multiple of 2" in found["batch"].found
    assert "step" not in found


def test_reading_that_a_step_would_wait_for_is_a_warning_with_the_threads_it_needs(
    make_settings: MakeSettings, accelerator: Accelerator
) -> None:
    tried = step.Tried(first_s=1.0, step_s=0.1, peak=1, recordings=8)
    settings = make_settings(batch_size=8, validation_samples=1)
    conclude = program._conclusions
    slow, duration = conclude(settings, accelerator, tried, 20.0, [1e9], [])
    assert (slow.result, slow.subject) == ("warn", "reading")
    assert "data_workers=4" in slow.remedy  # 80 recordings a second, at 20 of each
    assert duration.found.startswith("about 3 s for 8 steps")  # 0.4 s each
    (duration,) = conclude(settings, accelerator, tried, 100.0, [1e9], [])
    assert duration.subject == "duration"
    exchange, _ = conclude(settings, accelerator, tried, 100.0, [1e9], [0.08])
    assert exchange.result == "warn" and "80% of the time of a step" in exchange.found


def test_what_fails_on_some_nodes_names_them_and_on_all_blames_none() -> None:
    def found(*failures: str) -> Iterator[Line]:
        return failed("bf16", [Found(f"n{n // 2}", 1, text) for n, text in enumerate(failures)])

    assert list(found("", "", "", "")) == []
    (line,) = found("", "", "", "no bf16")
    assert (line.bad_nodes, line.found) == (("n1",), "on n1: no bf16")
    (line,) = found("no bf16", "", "no bf16", "")
    assert (line.bad_nodes, line.found) == ((), "no bf16")


def test_gpus_that_were_promised_and_are_not_there_name_the_node(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "8")
    monkeypatch.setenv("SLURMD_NODENAME", "gpu17")
    said = list[str]()
    with pytest.raises(SystemExit) as ended:
        said.extend(trial.check(make_settings()))
        pytest.fail("it ended without a failure")
    assert ended.value.code == 1


def test_the_program_shows_the_table_and_exits_with_one_where_a_line_fails(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "table", lambda *_: iter([Line("pass", "a", "b")]))
    assert list(trial.check(make_settings())) == ["pass  a           b"]
    lines = [Line("fail", "a", "b.", "Mend it.", ("n2", "n1")), Line("warn", "c", "d", "", ())]
    monkeypatch.setattr(program, "table", lambda *_: iter(lines))
    shown, running = list[str](), trial.check(make_settings())
    with pytest.raises(SystemExit) as ended:
        for line in running:
            shown.append(line)
    assert ended.value.code == 1
    assert shown == ["fail  a           b. Mend it.", "warn  c           d", f"{BAD_NODES}n1,n2"]


@pytest.mark.slow
def test_two_processes_check_what_they_would_train(
    make_settings: MakeSettings, launch: Launch, tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(as_yaml(make_settings(run_dir=tmp_path / "deep" / "run")))
    before = sorted(tmp_path.iterdir())
    outcome = launch("pretrain/main.py", "check", str(config), processes=2)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    lines = outcome.stdout.splitlines()
    assert [line[6:17].strip() for line in lines if line.startswith("pass")] == LINES
    assert any("gloo:" in line and "all-reduced by 2 processes" in line for line in lines)
    assert sorted(tmp_path.iterdir()) == before

    bad = ["check", str(config), f"run_dir={READ_ONLY}", f"data={tmp_path / 'none'}"]
    outcome = launch("pretrain/main.py", *bad, processes=2)
    assert outcome.returncode == 1
    failing = [line for line in outcome.stdout.splitlines() if line.startswith("fail")]
    assert [line[6:17].strip() for line in failing] == ["run folder", "shards"]

"""The program: what it leaves behind, what it refuses, and that two processes train as one."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from accelerate import Accelerator

from lamae.config import as_yaml
from lamae.model.checkpoint import load_autoencoder
from lamae.runs.run_folder import RUN
from lamae.runs.tracking import METRICS, SUMMARY, read_metrics
from lamae.storage.corpus import Corpus
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings

PROGRAM = Path(__file__).resolve().parents[1] / "pretrain" / "main.py"
FIGURES_OF_A_RANK = ("step_s", "own_s", "data_wait_share", "ecg_per_s")
MakeSettings = Callable[..., PretrainSettings]


def run_program(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run main.py in this process as the command line does; return its exit status."""
    monkeypatch.syspath_prepend(PROGRAM.parent)
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    return ended.value.code


def test_a_run_leaves_a_model_logs_and_a_summary(pretrained_run: Path, corpus: Corpus) -> None:
    promised = {"model", "checkpoints", "attempts", "tensorboard", METRICS, SUMMARY, RUN}
    assert {path.name for path in pretrained_run.iterdir()} == promised
    summary = json.loads((pretrained_run / SUMMARY).read_text())
    model = load_autoencoder(pretrained_run).model
    assert summary["counts"] == {
        "train": len(corpus.rows("train")),
        "val": len(corpus.rows("val")),
    }
    assert summary["parameters"]["total"] == sum(p.numel() for p in model.parameters())
    assert (summary["steps"], summary["first_step"], summary["seed"]) == (8, 0, 0)
    assert summary["epochs"] == pytest.approx(64 / len(corpus.rows("train")))
    assert {"command", "config", "versions", "seconds", "device", "processes"} <= summary.keys()
    assert PretrainSettings.model_validate(summary["config"]).run_dir == pretrained_run


def test_the_log_has_a_row_for_each_interval(pretrained_run: Path) -> None:
    rows = read_metrics(pretrained_run)
    assert [row["step"] for row in rows if "train/loss" in row] == list(range(1, 9))
    assert [row["step"] for row in rows if "val/loss" in row] == [4, 8]
    trained = [row for row in rows if "train/loss" in row]
    names = {"step", "train/loss", "train/grad_norm", "train/lr", "memory/peak_gib", "time/step_s",
             "time/ecg_per_s", "time/tokens_per_s", "time/data_wait_share",
             "time/flop_utilisation", "time/unix_s"}  # fmt: skip
    assert all(row.keys() == names for row in trained)
    assert all(0 <= row["time/data_wait_share"] < 1 for row in trained)
    validated = [row for row in rows if "val/loss" in row]
    assert all({"val/error_limb", "val/error_precordial"} <= row.keys() for row in validated)
    assert trained[1]["train/lr"] == max(row["train/lr"] for row in trained) == 1e-2
    summary = json.loads((pretrained_run / SUMMARY).read_text())
    assert summary["train_loss"] == trained[-1]["train/loss"]
    assert summary["val_loss"] == validated[-1]["val/loss"]


def test_resuming_a_finished_run_loses_none_of_its_results(
    make_settings: MakeSettings, accelerator: Accelerator
) -> None:
    settings = make_settings(steps=4)
    pretrain(settings, accelerator)
    names = ("train_loss", "val_loss", "steps")
    first = json.loads((settings.run_dir / SUMMARY).read_text())
    pretrain(make_settings(steps=4, resume=True), accelerator)
    again = json.loads((settings.run_dir / SUMMARY).read_text())
    assert [again[name] for name in names] == [first[name] for name in names]


def test_an_unknown_key_ends_the_program_and_the_nearest_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status = run_program(monkeypatch, f"data={tmp_path}", "run_dir=x", "model.encoder.widht=8")
    assert status == 2
    problem = "model.encoder.widht: unknown key. Did you mean model.encoder.width?"
    assert problem in capsys.readouterr().err


def test_input_that_cannot_be_used_ends_the_program_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    assert run_program(monkeypatch, f"data={tmp_path}", f"run_dir={run_dir}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: shards {tmp_path}: no manifest.json")
    assert not run_dir.exists()


@pytest.mark.slow
def test_two_processes_train_as_one(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    launch: Callable[..., CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    alone = make_settings(steps=4, validate_every=2)
    pretrain(alone, accelerator)
    together = make_settings(steps=4, validate_every=2, run_dir=tmp_path / "together")
    config = tmp_path / "together.yaml"
    config.write_text(as_yaml(together))
    outcome = launch("pretrain/main.py", str(config), processes=2)
    assert outcome.returncode == 0, outcome.stderr
    summary = json.loads((together.run_dir / SUMMARY).read_text())
    assert summary["processes"] == 2
    one, two = (read_metrics(settings.run_dir) for settings in (alone, together))
    ranks = {f"rank/{n}/{name}" for n in (0, 1) for name in FIGURES_OF_A_RANK}
    for alone_row, row in zip(one, two, strict=True):
        of_processes = {name for name in row if name.startswith(("rank/", "straggler/"))}
        assert row.keys() - of_processes == alone_row.keys()
        assert ("train/loss" in row) == (of_processes >= ranks)
    for expected, found in zip(one, two, strict=True):
        timeless = {k: v for k, v in expected.items() if not k.startswith(("time/", "memory/"))}
        assert {name: found[name] for name in timeless} == pytest.approx(timeless, rel=1e-4)

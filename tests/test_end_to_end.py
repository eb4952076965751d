"""From recordings to a report through the command lines, on simulated and on real recordings."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml
from accelerate import Accelerator

from finetune.run import finetune
from finetune.settings import FinetuneSettings
from lamae.config import load_settings
from lamae.runs.tracking import METRICS, SUMMARY, read_metrics
from lamae.storage.corpus import INDEX, MANIFEST, Corpus
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings
from shards.build.run import build_shards
from shards.settings import ShardsSettings

ROOT = Path(__file__).resolve().parents[1]
Launch = Callable[..., CompletedProcess[str]]
RECORDINGS = 100
"""Of PTB-XL; the first ones of its table."""

SIMULATED = ["records=96", "classes=[sinus, LBBB, AF]", "duration_s=5", "sampling_rate=100"]
SPLIT = ["split.train=0.6", "split.val=0.4", "split.test=0.0"]
QUICK = ["resamples=50", "l2_grid=[1.0, 0.01]", "cpu_threads=1", "baselines=[random]"]


def succeed(outcome: CompletedProcess[str]) -> str:
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_simulated_recordings_become_a_report_through_the_command_lines(
    launch: Launch, tmp_path: Path, tiny_values: dict[str, Any]
) -> None:
    recordings, shards, run, probe = (
        tmp_path / name for name in ("recordings", "shards", "run", "probe")
    )
    succeed(launch("shards/main.py", "simulate", f"output={recordings}", *SIMULATED))
    source = [f"source={recordings}", "source_kind=mimic_iv_ecg", "workers=1"]
    written = succeed(launch("shards/main.py", f"output={shards}", *source, *SPLIT))
    assert "wrote 96 records" in written
    assert {MANIFEST, INDEX, SUMMARY, "train-000000.tar", "val-000000.tar"} <= files(shards)

    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(tiny_values))
    changes = [f"data={shards}", f"run_dir={run}", "steps=4", "validate_every=2"]
    succeed(launch("pretrain/main.py", str(config), *changes, processes=1))
    promised = {SUMMARY, METRICS, "model/config.json", "model/model.safetensors"}
    assert promised <= files(run)
    assert any(name.startswith("tensorboard/events") for name in files(run))

    command = [f"encoder={run}", f"data={shards}", f"run_dir={probe}"]
    task = ["label_set=class", "multi_label=false", *QUICK]
    told = succeed(launch("finetune/main.py", *command, *task, processes=1))
    assert {SUMMARY, "report.html"} <= files(probe)
    summary = json.loads((probe / SUMMARY).read_text())
    assert f"{summary['auroc_macro']['estimate']:.3f} [" in told
    assert not files(tmp_path / "elsewhere"), "nothing is left where the user happens to be"


@pytest.fixture(scope="module")
def ptbxl(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack recordings of PTB-XL, with its layout and tables, and return their folder."""
    folder = tmp_path_factory.mktemp("ptbxl")
    program = shared_data / "ptbxl100" / "unpack.py"
    if not program.is_file():
        pytest.skip("needs PTB-XL in ../shared/data/ptbxl100, which is not part of the code")
    command = [sys.executable, "-B", str(program), str(folder), "--limit", str(RECORDINGS)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def shard_real_recordings(source: Path, output: Path) -> Corpus:
    config = ROOT / "configs" / "shards" / "ptbxl.yaml"
    folds = ["split.train=[1, 2, 3, 4, 5]", "split.val=[6, 7, 8, 9]"]
    command = [str(config), f"source={source}", f"output={output}", *folds, "workers=1"]
    build_shards(load_settings(ShardsSettings, command))
    return Corpus(output)


@pytest.mark.slow
def test_real_recordings_become_a_report(
    ptbxl: Path, accelerator: Accelerator, tmp_path: Path, tiny_values: dict[str, Any]
) -> None:
    corpus = shard_real_recordings(ptbxl, tmp_path / "shards")
    assert len(corpus) == len(list(ptbxl.rglob("*.hea"))) == RECORDINGS

    run = tmp_path / "run"
    values = tiny_values | {"data": corpus.folder, "run_dir": run, "steps": 20}
    pretrain(PretrainSettings.model_validate(values), accelerator)
    losses = [row["train/loss"] for row in read_metrics(run) if "train/loss" in row]
    assert max(losses[-5:]) < min(losses[:3])

    config = ROOT / "configs" / "finetune" / "ptbxl_superclass.yaml"
    places = [f"encoder={run}", f"data={corpus.folder}", f"run_dir={tmp_path / 'probe'}"]
    options = ["classes=[NORM, STTC, CD]", *QUICK]
    finetune(load_settings(FinetuneSettings, [str(config), *places, *options]))
    summary = json.loads((tmp_path / "probe" / SUMMARY).read_text())
    assert 0 <= summary["auroc_macro"]["low"] <= summary["auroc_macro"]["high"] <= 1
    labels = corpus.labels("superclass")
    val = [set(labels[row] or ()) for row in corpus.rows("val")]
    for name in ("NORM", "STTC", "CD"):
        assert summary["per_class"][name]["positives"] == sum(name in found for found in val)
    assert "<svg" in (tmp_path / "probe" / "report.html").read_text()

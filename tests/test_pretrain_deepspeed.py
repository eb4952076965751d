"""Under DeepSpeed's ZeRO a run is the same run: its losses, its checkpoints, its encoder.

Each launch imports DeepSpeed and transformers, hence the mark. On a CPU, processes talk by gloo.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from lamae.config import as_yaml
from lamae.errors import InputError
from lamae.runs.run_folder import OPTIMIZER, WEIGHTS
from lamae.runs.tracking import read_metrics
from lamae.storage.corpus import Corpus
from pretrain.processes.launch import make_accelerator
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings
from pretrain.start import start_training

MakeSettings = Callable[..., PretrainSettings]
Launch = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[1]
LAST = "checkpoints/step-00000008"

installed = pytest.mark.skipif(
    find_spec("deepspeed") is None, reason="needs pip install 'lamae[deepspeed]'"
)


@pytest.fixture
def launch_zero(tmp_path: Path) -> Launch:
    """Return a function that pretrains under a stage of ZeRO, by the configuration that we ship.

    In stage 3 every weight is spread: DeepSpeed keeps such small ones whole by default.
    """

    def run(
        stage: int, settings: PretrainSettings, *arguments: str, processes: int = 1
    ) -> subprocess.CompletedProcess[str]:
        zero = json.loads((ROOT / f"configs/deepspeed/zero{stage}.json").read_text())
        if stage == 3:
            zero["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        deepspeed, config = tmp_path / "zero.json", tmp_path / "zero.yaml"
        deepspeed.write_text(json.dumps(zero))
        config.write_text(as_yaml(settings))
        file = ROOT / f"configs/accelerate/deepspeed_zero{stage}.yaml"
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
        command += ["--deepspeed_config_file", str(deepspeed), "--main_process_port", "0"]
        command += ["--num_processes", str(processes), str(ROOT / "pretrain/main.py"), str(config)]
        return subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    return run


def losses(run_dir: Path) -> dict[int, float]:
    return {int(r["step"]): r["train/loss"] for r in read_metrics(run_dir) if "train/loss" in r}


def same_files(one: Path, other: Path, *names: str) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


@installed
@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_run_under_zero_ends_with_the_weights_and_moments_of_one_without(
    make_settings: MakeSettings, launch_zero: Launch, pretrained_run: Path, stage: int
) -> None:
    """To the last bit where no gradient is clipped, for clipping rounds in another order."""
    settings = make_settings(clip_norm=1.0)
    assert max(row.get("train/grad_norm", 0) for row in read_metrics(pretrained_run)) < 1.0
    done = launch_zero(stage, settings)
    assert done.returncode == 0, done.stderr
    assert losses(settings.run_dir) == losses(pretrained_run)
    files = (f"model/{WEIGHTS}", f"{LAST}/{WEIGHTS}", f"{LAST}/{OPTIMIZER}")
    assert same_files(settings.run_dir, pretrained_run, *files)
    assert not list(settings.run_dir.rglob("*.pt")), "no file of DeepSpeed's"


@installed
@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_a_run_goes_on_under_zero_and_back_without_a_change_of_a_bit(
    make_settings: MakeSettings,
    launch_zero: Launch,
    accelerator: Accelerator,
    pretrained_run: Path,
    stage: int,
) -> None:
    at_once = {"max_hours": 1e-9}  # a step is done, then the time is up
    pretrain(make_settings(**at_once), accelerator)
    goes_on = make_settings(resume=True)
    for arguments in (["max_hours=1e-9"], ["max_hours=1e-9"]):
        done = launch_zero(stage, goes_on, *arguments)
        assert done.returncode == 0, done.stderr
    pretrain(goes_on, accelerator)
    assert losses(goes_on.run_dir) == losses(pretrained_run)
    files = (f"model/{WEIGHTS}", f"{LAST}/{WEIGHTS}", f"{LAST}/{OPTIMIZER}")
    assert same_files(goes_on.run_dir, pretrained_run, *files)


@installed
@pytest.mark.slow
def test_two_processes_under_zero_clip_accumulate_and_resume_as_one_does_without(
    make_settings: MakeSettings, launch_zero: Launch, accelerator: Accelerator, tmp_path: Path
) -> None:
    alone = make_settings(clip_norm=0.1)
    pretrain(alone, accelerator)
    together = make_settings(clip_norm=0.1, accumulation=2, run_dir=tmp_path / "together")
    for stage, arguments in ((3, ["max_hours=1e-9"]), (1, ["resume=true", "max_hours=1e-9"]),
                             (2, ["resume=true"])):  # fmt: skip
        done = launch_zero(stage, together, *arguments, processes=2)
        assert done.returncode == 0, done.stderr
    assert json.loads((together.run_dir / "summary.json").read_text())["processes"] == 2
    assert losses(together.run_dir) == pytest.approx(losses(alone.run_dir), rel=1e-5)
    one, two = (load_file(s.run_dir / f"model/{WEIGHTS}") for s in (alone, together))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-3, msg=name)


@installed
@pytest.mark.slow
def test_bf16_under_zero_trains_as_bf16_without_and_keeps_fp32_weights(
    make_settings: MakeSettings, launch_zero: Launch, launch: Launch, tmp_path: Path
) -> None:
    plain = make_settings(precision="bf16", steps=4)
    config = tmp_path / "plain.yaml"
    config.write_text(as_yaml(plain))
    done = launch("pretrain/main.py", str(config), processes=1)
    assert done.returncode == 0, done.stderr
    zero = make_settings(precision="bf16", steps=4, run_dir=tmp_path / "zero")
    done = launch_zero(3, zero)
    assert done.returncode == 0, done.stderr
    assert losses(zero.run_dir) == pytest.approx(losses(plain.run_dir), rel=1e-3)
    full = make_settings(steps=4, run_dir=tmp_path / "full")
    pretrain(full, Accelerator(cpu=True))
    assert losses(zero.run_dir) != losses(full.run_dir)
    weights = load_file(zero.run_dir / f"model/{WEIGHTS}")
    assert all(value.dtype == torch.float32 for value in weights.values())
    assert any((value.bfloat16().float() != value).any() for value in weights.values())


_POISONED = """
import json, sys
sys.path.insert(0, {root!r})
from pretrain import batches, run
from pretrain.processes.launch import make_accelerator
from pretrain.settings import PretrainSettings
make = batches.step_batches
def poisoned(settings, accelerator, read, step):
    parts = make(settings, accelerator, read, step)
    if step in (3, 4):
        parts[0].batch.signal[0, 0, 0] = float("nan")
    return parts
batches.step_batches = poisoned
settings = PretrainSettings.model_validate(json.loads({settings!r}))
run.pretrain(settings, make_accelerator(settings))
"""


@installed
@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_under_zero_a_step_that_is_not_finite_ends_the_run_or_is_skipped_as_without(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
    stage: int,
    tmp_path: Path,
) -> None:
    zero = f"configs/deepspeed/zero{stage}.json"
    environment = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": zero}
    environment |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "OMP_NUM_THREADS": "1"}

    def run(port: str, settings: PretrainSettings) -> subprocess.CompletedProcess[str]:
        master = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        program = _POISONED.format(root=str(ROOT), settings=settings.model_dump_json())
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | environment | master,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    stopped = run("0", make_settings(run_dir=tmp_path / "stopped"))
    assert stopped.returncode != 0
    assert "training after 3 steps" in stopped.stderr and "with records" in stopped.stderr

    skipping = make_settings(run_dir=tmp_path / "zero", non_finite="skip")
    done = run("0", skipping)
    assert done.returncode == 0, done.stderr
    assert "step 4 skipped" in done.stderr and "step 5 skipped" in done.stderr
    from pretrain import batches

    make = batches.step_batches

    def poisoned(*arguments: Any) -> Any:
        parts = make(*arguments)
        if arguments[-1] in (3, 4):
            parts[0].batch.signal[0, 0, 0] = float("nan")
        return parts

    monkeypatch.setattr(batches, "step_batches", poisoned)
    plain = make_settings(run_dir=tmp_path / "plain", non_finite="skip")
    pretrain(plain, accelerator)
    assert same_files(skipping.run_dir, plain.run_dir, f"{LAST}/{WEIGHTS}", f"{LAST}/{OPTIMIZER}")


@installed
@pytest.mark.slow
def test_two_processes_under_zero_2_average_the_weights_as_one_does_without(
    make_settings: MakeSettings, launch_zero: Launch, accelerator: Accelerator, tmp_path: Path
) -> None:
    alone = make_settings(ema=0.5)
    pretrain(alone, accelerator)
    together = make_settings(ema=0.5, run_dir=tmp_path / "together")
    for arguments in (["max_hours=1e-9"], ["resume=true"]):
        done = launch_zero(2, together, *arguments, processes=2)
        assert done.returncode == 0, done.stderr
    one, two = (load_file(s.run_dir / f"model_ema/{WEIGHTS}") for s in (alone, together))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-3, msg=name)


def test_deepspeed_that_is_missing_or_would_be_dropped_without_a_word_is_named(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with monkeypatch.context() as patched:
        patched.setattr("pretrain.processes.launch.find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"no deepspeed and no transformers.*lamae\[deepsp"):
            make_accelerator(make_settings())


def test_without_deepspeed_a_checkpoint_needs_none(
    make_settings: MakeSettings, corpus: Corpus, accelerator: Accelerator
) -> None:
    training = start_training(make_settings(), accelerator, corpus)
    assert training.zero is None and training.autoencoder is training.bare_model

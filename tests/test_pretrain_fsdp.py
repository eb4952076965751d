"""Under FSDP2 a run is the same run, and goes on from and to any other number of processes.

On a CPU, processes talk by gloo.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from lamae.config import as_yaml
from lamae.errors import InputError
from lamae.model.checkpoint import load_autoencoder
from lamae.runs.run_folder import OPTIMIZER, WEIGHTS, checkpoint_folder
from lamae.runs.tracking import read_metrics
from pretrain.processes.launch import make_accelerator
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings

MakeSettings = Callable[..., PretrainSettings]
Stage = tuple[int, dict[str, Any]]
ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = {"max_hours": 1e-9}  # a step is done, then the time is up

PROCESSES = """
import contextlib, importlib, json, os, runpy, socket, sys, traceback

import pretrain.run
for late in ("torch._dynamo", "torch.utils.tensorboard", "pyarrow.pandas_compat"):
    with contextlib.suppress(ImportError):
        importlib.import_module(late)

def run(rank, processes, port, arguments):
    number = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
    number |= {"LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in number.items()} if processes > 1 else {})
    sys.argv = [sys.argv[1], *arguments]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

for processes, arguments in json.loads(sys.argv[2]):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        pid = os.fork()
        if pid == 0:
            status = run(rank, processes, port, arguments)
            sys.stdout.flush()
            os._exit(status)
        children.append(pid)
    ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert not any(ended), (processes, arguments, ended)
"""
"""Runs the program, one launch after the other, in forks of a process that has made its imports."""


def run_stages(settings: PretrainSettings, stages: Sequence[Stage]) -> None:
    """Pretrain by as many processes, and with as changed settings, as each stage says."""
    config = settings.run_dir.with_suffix(".yaml")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(as_yaml(settings))
    orders = [
        (processes, [str(config), "resume=true", *(f"{k}={v}" for k, v in changes.items())])
        for processes, changes in stages
    ]
    environment = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROCESSES, str(ROOT / "pretrain/main.py"), json.dumps(orders)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-6000:]


def losses(run_dir: Path) -> dict[int, float]:
    return {int(r["step"]): r["train/loss"] for r in read_metrics(run_dir) if "train/loss" in r}


@pytest.mark.slow
def test_fsdp_then_one_then_ddp_then_fsdp_of_four_and_two_train_as_one_does(
    make_settings: MakeSettings, accelerator: Accelerator, tmp_path: Path
) -> None:
    """With accumulation, and gradients that are clipped."""
    alone = make_settings(clip_norm=0.1)
    pretrain(alone, accelerator)
    kept = {"keep_last": 9}
    moved = make_settings(
        run_dir=tmp_path / "moved", clip_norm=0.1, accumulation=2, fsdp=True, retention=kept
    )
    stages: list[Stage] = [
        (2, AT_ONCE),
        (1, AT_ONCE),
        (2, AT_ONCE | {"fsdp": "false"}),
        (4, AT_ONCE | {"accumulation": 1}),
        (2, {}),
    ]
    run_stages(moved, stages)
    folders = [checkpoint_folder(moved.run_dir, step) for step in (1, 2, 3, 4, 8)]
    assert [len(list(folder.glob("model*"))) for folder in folders] == [2, 1, 1, 4, 2]
    assert [(folder / OPTIMIZER).exists() for folder in folders] == [
        False,
        True,
        True,
        False,
        False,
    ]
    parts = [load_file(folders[0] / f"model-0000{n}-of-00002.safetensors") for n in (1, 2)]
    for name, value in load_autoencoder(folders[0]).model.state_dict().items():
        assert torch.equal(value, torch.cat([part[name] for part in parts if name in part]))
    suffixes = {path.suffix for path in moved.run_dir.glob("checkpoints/**/*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}
    assert list(losses(moved.run_dir)) == list(range(1, 9))
    assert losses(moved.run_dir) == pytest.approx(losses(alone.run_dir), rel=1e-5)
    one, two = (load_file(s.run_dir / f"model/{WEIGHTS}") for s in (alone, moved))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.slow
def test_fsdp_and_ddp_of_two_processes_have_the_same_losses(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    """In both precisions."""
    settings = make_settings()
    kinds = [(precision, fsdp) for precision in ("fp32", "bf16") for fsdp in ("false", "true")]
    run_dirs = [tmp_path / f"{precision}-{fsdp}" for precision, fsdp in kinds]
    stages: list[Stage] = [
        (2, {"precision": precision, "fsdp": fsdp, "run_dir": run_dir})
        for (precision, fsdp), run_dir in zip(kinds, run_dirs, strict=True)
    ]
    run_stages(settings, stages)
    ddp, fsdp, ddp_bf16, fsdp_bf16 = (losses(run_dir) for run_dir in run_dirs)
    assert len(ddp) == 8 and fsdp == pytest.approx(ddp, rel=1e-5)
    assert ddp_bf16 != ddp and fsdp_bf16 == pytest.approx(ddp_bf16, rel=1e-5)


def test_fsdp_goes_with_neither_compile_nor_deepspeed_nor_a_launch_of_accelerate(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="fsdp and compile exclude each other"):
        make_settings(fsdp=True, compile=True)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(InputError, match="fsdp: true, in a launch under DeepSpeed"):
        make_accelerator(make_settings(fsdp=True))
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match=r"accelerate's FSDP: .*give fsdp=true"):
        make_accelerator(make_settings())

"""A compiled run that is stopped and goes on ends as one that was not, to the last bit."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lamae.config import as_yaml
from lamae.runs.run_folder import OPTIMIZER, WEIGHTS, newest_checkpoint
from lamae.runs.tracking import read_metrics
from pretrain.settings import PretrainSettings

PROGRAM = Path(__file__).resolve().parents[1] / "pretrain" / "main.py"
STEPS = 4
AT_ONCE = "max_hours=1e-9"  # a step is done, then the time is up


@pytest.mark.slow
def test_a_compiled_run_that_is_stopped_ends_as_one_that_was_not(
    make_settings: Callable[..., PretrainSettings],
    tmp_path: Path,
) -> None:
    """In processes of their own: what checks shapes in tests cannot be compiled."""
    if not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("torch.compile needs a C++ compiler on a CPU, and there is none")
    compiled_code = tmp_path / "compiled"
    environment = {
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "TORCHINDUCTOR_CACHE_DIR": str(compiled_code),
    }
    runs = {}
    for name, further in (("stopped", [[AT_ONCE], ["resume=true"]]), ("whole", [[]])):
        settings = make_settings(
            run_dir=tmp_path / name, compile=True, steps=STEPS, warmup_steps=1, validate_every=STEPS
        )
        config = tmp_path / f"{name}.yaml"
        config.write_text(as_yaml(settings))
        for arguments in further:
            done = subprocess.run(
                [sys.executable, str(PROGRAM), str(config), *arguments],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=1800,
            )
            assert done.returncode == 0, done.stderr
        runs[name] = settings.run_dir
    assert any(compiled_code.rglob("*.so"))  # it was compiled
    attempts = {name: len(list((run / "attempts").iterdir())) for name, run in runs.items()}
    assert attempts == {"stopped": 2, "whole": 1}
    stopped, whole = (_outcome(run) for run in runs.values())
    assert {name for name in whole if stopped[name] != whole[name]} == set()


def _outcome(run_dir: Path) -> dict[str, object]:
    """Return weights, optimiser state and log, without what depends on the machine's speed."""
    newest = newest_checkpoint(run_dir)
    assert newest
    machine = ("time/", "memory/")
    rows = read_metrics(run_dir)
    assert [row["step"] for row in rows if "train/loss" in row] == list(range(1, STEPS + 1))
    log = [{k: v for k, v in row.items() if not k.startswith(machine)} for row in rows]
    return {
        "log": [row for row in log if row.keys() != {"step"}],  # of a checkpoint, its time alone
        "weights": (run_dir / "model" / WEIGHTS).read_bytes(),
        "optimizer": (newest / OPTIMIZER).read_bytes(),
    }

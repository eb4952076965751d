"""What every test shares: one thread, repeatable draws, a small corpus and a run on it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import torch

from lamae.corpus import Corpus
from shards.build import build_shards
from shards.settings import ShardsSettings
from shards.simulate import SimulateSettings, simulate

if TYPE_CHECKING:  # slow to import, and most test files need neither
    from accelerate import Accelerator

    from finetune.settings import FinetuneSettings
    from pretrain.settings import PretrainSettings

ROOT = Path(__file__).resolve().parents[1]

# The same examples on every machine, and no failure because a machine is slow.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute in one thread, whatever a program that ran in this process has set.

    Two workers on two cores: more threads only wait for each other, and round in another order.
    """
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real recordings beside the checkout, or skip the test."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real recordings in ../shared/data, which are not part of the code")
    return folder


@pytest.fixture(scope="session")
def simulated_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build shards of 96 simulated recordings of 48 patients, one of three classes each."""
    folder = tmp_path_factory.mktemp("simulated")
    drawn = {"records": 96, "classes": ("sinus", "LBBB", "AF"), "duration_s": 5}
    recordings = {"output": folder / "recordings", "sampling_rate": 100, **drawn}
    simulate(SimulateSettings.model_validate(recordings))
    shards = {
        "source": folder / "recordings",
        "output": folder / "shards",
        "source_kind": "mimic_iv_ecg",
        "split": {"train": 0.6, "val": 0.4, "test": 0.0},
        "workers": 1,
    }
    build_shards(ShardsSettings.model_validate(shards))
    return folder / "shards"


@pytest.fixture(scope="session")
def corpus(simulated_shards: Path) -> Corpus:
    """Open the simulated shards."""
    return Corpus(simulated_shards)


@pytest.fixture(scope="session")
def accelerator() -> "Accelerator":
    """Return the one process on the CPU in which tests train."""
    from accelerate import Accelerator

    return Accelerator(cpu=True)


@pytest.fixture(scope="session")
def tiny_values() -> dict[str, Any]:
    """Return settings of a model and a run that take a second: 12 leads, 5 patches, width 16."""
    return {
        "preprocess": {"sampling_rate": 50, "duration_s": 5, "band_hz": None},
        "model": {
            "encoder": {"patch_size": 50, "width": 16, "depth": 1, "heads": 2, "latent_depth": 1},
            "decoder": {"width": 16, "depth": 1, "heads": 2},
        },
        "cpu_threads": 1,
        "steps": 8,
        "batch_size": 8,
        "lr": 1e-2,
        "warmup_steps": 2,
        "log_every": 1,
        "validate_every": 4,
        "checkpoint_every": 4,
    }


MakeSettings = Callable[..., "PretrainSettings"]
MakeProbe = Callable[..., "FinetuneSettings"]


@pytest.fixture
def make_settings(
    simulated_shards: Path, tmp_path: Path, tiny_values: dict[str, Any]
) -> MakeSettings:
    """Return a function that makes tiny settings of a run in tmp_path, with any changes."""
    from pretrain.settings import PretrainSettings

    def make(**changes: Any) -> PretrainSettings:
        places = {"data": simulated_shards, "run_dir": tmp_path / "run"}
        return PretrainSettings.model_validate(tiny_values | places | changes)

    return make


@pytest.fixture(scope="session")
def pretrained_run(
    simulated_shards: Path,
    tiny_values: dict[str, Any],
    accelerator: "Accelerator",
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return the folder of a finished tiny run, which tests read and never change."""
    from pretrain.main import pretrain
    from pretrain.settings import PretrainSettings

    run_dir = tmp_path_factory.mktemp("pretrained") / "run"
    values = tiny_values | {"data": simulated_shards, "run_dir": run_dir}
    pretrain(PretrainSettings.model_validate(values), accelerator)
    return run_dir


Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """Return a function that runs a program as a user does, from a folder that is not ours."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    one_process = str(ROOT / "configs" / "accelerate" / "single.yaml")
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", one_process]

    def run(
        program: str, *arguments: str, processes: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run without accelerate, or with it in a number of processes."""
        command = [sys.executable]
        if processes is not None:
            command = [*accelerate, "--num_processes", str(processes)]
        if processes and processes > 1:  # the option that starts several, on the CPU as well
            command += ["--multi_gpu", "--main_process_port", "0"]
        return subprocess.run(
            [*command, str(ROOT / program), *arguments],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


@pytest.fixture
def make_probe(pretrained_run: Path, simulated_shards: Path, tmp_path: Path) -> MakeProbe:
    """Return a function that makes settings of a quick probe in tmp_path, with any changes."""
    from finetune.settings import FinetuneSettings

    def make(**changes: Any) -> "FinetuneSettings":
        values: dict[str, Any] = {
            "encoder": pretrained_run,
            "data": simulated_shards,
            "run_dir": tmp_path / "probe",
            "label_set": "class",
            "multi_label": False,
            "l2_grid": (1.0, 0.01),
            "resamples": 100,
            "cpu_threads": 1,
        }
        return FinetuneSettings.model_validate(values | changes)

    return make

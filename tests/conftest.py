"""What every test shares: one thread, repeatable draws, a small corpus and a run on it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pyarrow.parquet as pq
import pytest
import torch

from lamae.storage.corpus import INDEX, MANIFEST, Corpus, write_index
from lamae.storage.samples import encode_signal
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from shards.simulator.data_set import simulate
from shards.simulator.settings import SimulateSettings

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
    split = {"train": 0.6, "val": 0.4, "test": 0.0}
    shards = small_build(folder / "recordings", folder / "shards", split=split, shard_records=1024)
    build_shards(ShardsSettings.model_validate(shards))
    return folder / "shards"


@pytest.fixture(scope="session")
def corpus(simulated_shards: Path) -> Corpus:
    """Open the simulated shards."""
    return Corpus(simulated_shards)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulate 24 recordings; one is there twice, one is damaged."""
    folder = tmp_path_factory.mktemp("recordings") / "recordings"
    simulate(SimulateSettings(output=folder, records=24, sampling_rate=100, duration_s=5))
    headers = sorted(folder.rglob("*.hea"))
    copy, damaged = headers[-1], headers[3]
    copy.with_suffix(".dat").write_bytes(headers[0].with_suffix(".dat").read_bytes())
    copy.write_text(headers[0].read_text().replace(headers[0].stem, copy.stem))
    damaged.write_text("nothing of use")
    return folder


def small_build(source: Path | str, output: Path | str, **changes: Any) -> dict[str, Any]:
    """Return settings of a build of `recordings` in shards of seven, with any changes."""
    split = {"train": 0.7, "val": 0.3, "test": 0.0}
    values = {"source": source, "output": output, "source_kind": "mimic_iv_ecg", "split": split}
    return values | {"shard_records": 7, "workers": 1} | changes


CorpusWith = Callable[..., Corpus]


@pytest.fixture
def corpus_with_damage(simulated_shards: Path, tmp_path: Path) -> CorpusWith:
    """Return a function that copies the shards and flips a bit in some recordings of its splits."""

    def copy(**positions: list[int]) -> Corpus:
        folder = tmp_path / "damaged"
        shutil.copytree(simulated_shards, folder)
        whole = Corpus(folder)
        index = pq.read_table(folder / INDEX)
        for row in (int(r) for split, at in positions.items() for r in whole.rows(split)[at]):
            fields = index.slice(row, 1).to_pylist()[0]
            content = bytearray((folder / fields["shard"]).read_bytes())
            content[fields["offset"] + 7] ^= 1
            (folder / fields["shard"]).write_bytes(content)
        return Corpus(folder)

    return copy


@pytest.fixture
def corpus_with_limb_leads(corpus: Corpus, tmp_path: Path) -> CorpusWith:
    """Return a function that copies the shards, with the first six leads alone of some rows."""

    def copy(of: Sequence[int]) -> Corpus:
        folder = tmp_path / "limb"
        shutil.copytree(corpus.folder, folder)
        rows, stored = pq.read_table(folder / INDEX).to_pylist(), b""
        for row in map(int, of):
            whole = corpus.record(row)
            few = {name: getattr(whole, name)[:6] for name in ("leads", "gain", "baseline")}
            signal = encode_signal(replace(whole, digital=whole.digital[:6], **few), "npy")
            rows[row] |= few | {"codec": "npy", "shard": "limb.tar", "offset": len(stored)}
            rows[row] |= {"bytes": signal.stored, "crc32": signal.crc32}
            stored += signal.member[-signal.stored :]
        (folder / "limb.tar").write_bytes(stored)
        write_index(folder / INDEX, rows)
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest.pop("index")
        manifest["shards"].append({"file": "limb.tar", "bytes": len(stored)})
        (folder / MANIFEST).write_text(json.dumps(manifest))
        return Corpus(folder)

    return copy


@pytest.fixture(scope="session")
def other_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Build shards of seven of 48 recordings, longer and faster than those of `corpus`."""
    folder = tmp_path_factory.mktemp("other")
    drawn = {"records": 48, "duration_s": 6, "sampling_rate": 200}
    simulate(SimulateSettings.model_validate({"output": folder / "raw", **drawn}))
    build_shards(ShardsSettings.model_validate(small_build(folder / "raw", folder / "shards")))
    return Corpus(folder / "shards")


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
    from pretrain.run import pretrain
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
            "baselines": ("random",),
            "label_set": "class",
            "multi_label": False,
            "l2_grid": (1.0, 0.01),
            "resamples": 100,
            "cpu_threads": 1,
        }
        return FinetuneSettings.model_validate(values | changes)

    return make


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Start a SLURM of three nodes for a test file; return a function that runs a command in it.

    It returns what the command prints, and raises AssertionError where it fails.
    """
    folder, program = tmp_path_factory.mktemp("slurm") / "it", ROOT / "slurm" / "one_machine.sh"
    places = {"LAMAE_SLURM": str(folder), "SLURM_CONF": str(folder / "slurm.conf")}
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    more = {"MASTER_ADDR": "127.0.0.1", "HOLD_S": "5", "OMP_NUM_THREADS": "1", "PATH": search}

    def run(*command: object, **environment: str) -> str:
        words, env = [str(word) for word in command], os.environ | places | more | environment
        done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    programs = ("munged", "slurmctld", "slurmd", "sbatch")
    missing = [
        name for name in programs if not shutil.which(name, path=f"{search}:/usr/sbin:/sbin")
    ]
    if missing:
        pytest.skip(f"needs SLURM, of which {', '.join(missing)} is not installed")
    up = [str(program), "up", "3"]
    begun = subprocess.run(up, env=os.environ | places | more, stderr=subprocess.PIPE, text=True)
    assert begun.returncode == 0, begun.stderr
    yield run
    run(program, "down")

"""Pretraining on shards at a URL: the weights of a run on the folder, whatever happens."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accelerate import Accelerator

from lamae.config import as_yaml
from lamae.errors import PlaceError
from lamae.remote import attempts, cache
from lamae.runs.run_folder import MODEL_FOLDER, OPTIMIZER, WEIGHTS, newest_checkpoint
from lamae.runs.tracking import read_summary
from lamae.storage.corpus import INDEX
from pretrain.batches import Reader, training_batches
from pretrain.data import Corpora
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from tests.conftest import small_build
from tests.test_lamae_remote_cache import Server, kept, served, until

MakeSettings = Callable[..., PretrainSettings]
ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = 1e-6  # hours after which a run saves and stops


@pytest.fixture
def server(simulated_shards: Path) -> Iterator[Server]:
    with served(simulated_shards) as running:
        yield running


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "DELAYS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(cache, "WRONG_BYTES_DELAYS_S", (0.0, 0.0))


def outcome(run: Path) -> list[bytes]:
    """Return the weights of a finished run, and its optimiser."""
    newest = newest_checkpoint(run)
    assert newest is not None
    return [(run / MODEL_FOLDER / WEIGHTS).read_bytes(), (newest / OPTIMIZER).read_bytes()]


def test_a_run_over_a_hostile_server_ends_in_the_weights_of_one_on_the_folder(
    server: Server,
    make_settings: MakeSettings,
    pretrained_run: Path,
    accelerator: Accelerator,
    tmp_path: Path,
) -> None:
    hows = ("break", "wrong", "500")
    server.behaves = lambda name, number: (
        hows[number - 1] if name.endswith(".tar") and number < 3 else "well"
    )
    settings = make_settings(data=server.url, cache=tmp_path / "cache")
    pretrain(settings, accelerator)
    assert outcome(settings.run_dir) == outcome(pretrained_run)
    assert read_summary(settings.run_dir)["config"]["data"] == server.url
    assert server.asked["train-000000.tar"] == server.asked["val-000000.tar"] == 3


def test_a_run_goes_on_from_a_url_in_a_folder_and_back(
    server: Server,
    make_settings: MakeSettings,
    simulated_shards: Path,
    pretrained_run: Path,
    accelerator: Accelerator,
    tmp_path: Path,
) -> None:
    places = (server.url, simulated_shards)
    for number, data in enumerate(places):
        stop = make_settings(data=data, cache=tmp_path / f"{number}", resume=number > 0)
        pretrain(stop.model_copy(update={"max_hours": AT_ONCE}), accelerator)
        assert not (stop.run_dir / MODEL_FOLDER).exists()
    last = make_settings(data=server.url, cache=tmp_path / "other", resume=True)
    pretrain(last, accelerator)
    assert outcome(last.run_dir) == outcome(pretrained_run)


def test_a_run_whose_store_goes_away_ends_in_one_sentence_and_leaves_out_nothing(
    server: Server,
    make_settings: MakeSettings,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "PATIENCE_S", 0.3)
    server.behaves = lambda name, number: "503" if name.startswith("val") else "well"
    settings = make_settings(data=server.url, cache=tmp_path / "cache")
    with pytest.raises(PlaceError, match=r"val-000000\.tar: .*503.* for 0\.3 s\. Check"):
        pretrain(settings, accelerator)


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_fetches_ends_as_one_on_the_folder(
    server: Server, make_settings: MakeSettings, pretrained_run: Path, tmp_path: Path
) -> None:
    """Killed while the first shard comes, and in the step that needs the second."""
    folder, config = tmp_path / "cache", tmp_path / "run.yaml"
    settings = make_settings(data=server.url, cache=folder, resume=True)
    config.write_text(as_yaml(settings))
    server.bytes_per_s = 1e6
    for name in ("train", "val"):

        def behave(asked: str, number: int, name: str = name) -> str:
            if asked.startswith(name):
                server.allowed.clear()
            return "well"

        server.behaves = behave
        process = start(config)
        until(lambda: not server.allowed.is_set() and list(folder.glob("*.partial")), 240)
        time.sleep(0.1)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        server.allowed.set()
        server.behaves = lambda asked, number: "well"
        assert len(kept(folder)) == {"train": 1, "val": 2}[name]  # the index, and what had come
    process = start(config)
    assert process.wait() == 0
    assert outcome(settings.run_dir) == outcome(pretrained_run)


def start(config: Path) -> "subprocess.Popen[bytes]":
    environment = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, str(ROOT / "pretrain" / "main.py"), str(config)]
    return subprocess.Popen(command, env=os.environ | environment)


def test_blocks_by_way_of_a_cache_of_three_windows_are_those_of_the_folder(
    recordings: Path, make_settings: MakeSettings, accelerator: Accelerator, tmp_path: Path
) -> None:
    shards = tmp_path / "shards"
    small = small_build(recordings, shards) | {"shard_records": 2}
    build_shards(ShardsSettings.model_validate(small))
    largest = max(path.stat().st_size for path in shards.glob("train-*.tar"))
    limit = 6 * largest + (shards / INDEX).stat().st_size
    with served(shards) as server:
        at_a_url = {"data": server.url, "cache": tmp_path / "cache", "cache_gb": limit / 1e9}
        found = []
        for place in ({"data": shards}, at_a_url):
            settings = make_settings(
                **place, order="blocks", block_shards=2, steps=9, batch_size=4, data_workers=2
            )
            read = Reader(Corpora(settings).train, settings, accelerator.device)
            steps = training_batches(settings, accelerator, read, first_step=0)
            parts = [part.batch for step in steps for part in step]
            found.append([(batch.keys, batch.signal.numpy().tobytes()) for batch in parts])
        assert found[0] == found[1]
        count = len(list(shards.glob("train-*.tar")))
        assert count > 6 and sum(kept(tmp_path / "cache").values()) <= limit
        asked = [server.asked[path.name] for path in shards.glob("train-*.tar")]
        assert max(asked) > 1 and min(asked) >= 1  # in each of two epochs, since few can stay

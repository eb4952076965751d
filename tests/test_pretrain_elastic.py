"""A run goes on with any number of processes: the same batches, however changed, and losses."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from accelerate import Accelerator

from lamae.config import as_yaml
from lamae.runs.tracking import read_metrics
from lamae.storage.corpus import Corpus
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings

WINDOWS = {"sampling_rate": 50, "duration_s": 4, "band_hz": None}
AUGMENTATION = {f"{name}_probability": 0.5 for name in ("scale", "noise", "wander", "dropout")}
AT_ONCE = "max_hours=1e-9"  # a step is done, then the time is up


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["corpus", "mixture of blocks in shared memory"])
def test_two_processes_then_one_then_two_train_as_one_does(
    make_settings: Callable[..., PretrainSettings],
    accelerator: Accelerator,
    launch: Callable[..., CompletedProcess[str]],
    tmp_path: Path,
    corpus: Corpus,
    other_corpus: Corpus,
    kind: str,
) -> None:
    make = partial(make_settings, preprocess=WINDOWS, crop="random", augmentation=AUGMENTATION)
    residency = "stream"
    if kind != "corpus":
        several = [{"data": corpus.folder, "weight": 3, "name": "a"}, {"data": other_corpus.folder}]
        make = partial(make, data=several, order="blocks", block_shards=2)
        residency = "ram"
    alone = make(data_workers=0)
    pretrain(alone, accelerator)
    more = {"data_workers": 2, "accumulation": 2, "residency": residency}
    moved = make(run_dir=tmp_path / "moved", **more)
    config = tmp_path / "moved.yaml"
    config.write_text(as_yaml(moved))
    for processes, further in ((2, [AT_ONCE]), (1, ["resume=true", AT_ONCE]), (2, ["resume=true"])):
        done = launch("pretrain/main.py", str(config), *further, processes=processes)
        assert done.returncode == 0, done.stderr
    assert [path.name for path in sorted((moved.run_dir / "attempts").iterdir())] == [
        "0001", "0002", "0003",
    ]  # fmt: skip
    expected, found = (
        {row["step"]: row["train/loss"] for row in read_metrics(run) if "train/loss" in row}
        for run in (alone.run_dir, moved.run_dir)
    )
    assert list(found) == list(expected) == list(range(1, 9))
    assert found == pytest.approx(expected, rel=1e-5 if kind == "corpus" else 1e-4)

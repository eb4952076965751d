"""Unusable recordings are left out alike for every encoder, and in any number of processes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pyarrow.parquet as pq
import pytest
from accelerate import Accelerator

from finetune.data.tasks import make_task
from finetune.experiment.probe_features import embed_all
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from finetune.training.embeddings import EmbeddingCache
from lamae.errors import InputError
from lamae.model.checkpoint import load_autoencoder
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import INDEX, Corpus

CLASSES = ("AF", "LBBB", "sinus")
MakeProbe = Callable[..., FinetuneSettings]


def _damage(folder: Path, to: Path, keys: list[str]) -> Path:
    """Copy shards, and flip a bit in the raw samples of some recordings."""
    shutil.copytree(folder, to)
    for fields in pq.read_table(to / INDEX).to_pylist():
        if fields["key"] in keys:
            content = bytearray((to / fields["shard"]).read_bytes())
            content[fields["offset"] + 7] ^= 1
            (to / fields["shard"]).write_bytes(content)
    return to


@pytest.mark.slow
def test_damaged_samples_are_left_out_for_every_encoder_and_named(
    make_probe: MakeProbe,
    corpus: Corpus,
    accelerator: Accelerator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    train, val = (corpus.keys[corpus.rows(split)].tolist() for split in ("train", "val"))
    keys = [train[4], val[0], val[7]]
    data = _damage(corpus.folder, tmp_path / "damaged", keys)
    with pytest.raises(InputError, match=rf"1 of {len(train)} recordings unusable, e.g. {keys[0]}"):
        finetune(make_probe(data=data))
    finetune(make_probe(data=data, max_unusable=0.1))
    summary = json.loads((tmp_path / "probe" / SUMMARY).read_text())
    assert summary["unusable"] == {
        "train": {"damaged": keys[:1]},
        "evaluation": {"damaged": keys[1:]},
    }
    assert summary["counts"]["train"]["records"] == len(train) - 1
    assert summary["counts"]["evaluation"]["records"] == len(val) - 2
    assert summary["counts"]["evaluation"]["unusable"] == {"damaged": 2}
    warned = [record.getMessage() for record in caplog.records]
    assert warned == [
        f"train split: 1 left out, damaged: {keys[0]}",
        f"evaluation split: 2 left out, damaged: {keys[1]}, {keys[2]}",
    ]


def test_features_and_labels_of_what_is_left_belong_together(
    make_probe: MakeProbe, corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    """Each row of features is found again by embedding its recording alone."""
    settings = make_probe()
    keys = corpus.keys[corpus.rows("train")[[0, 9, 10]]].tolist()
    damaged = Corpus(_damage(corpus.folder, tmp_path / "damaged", keys))
    assert settings.encoder is not None
    loaded = load_autoencoder(settings.encoder)
    cache = EmbeddingCache(
        damaged,
        loaded.preprocessor,
        pooling="mean",
        batch_size=4,
        accelerator=accelerator,
        folder=tmp_path / "cache",
    )
    encoders = {"pretrained": loaded.model.encoder, "random": loaded.model.encoder}
    found = embed_all(cache, encoders, make_task(damaged, settings), max_unusable=0.1)
    part, labels = found.task.train, corpus.labels("class")
    assert len(part.rows) == len(corpus.rows("train")) - 3
    for number, row in enumerate(part.rows):
        alone = cache.embed(loaded.model.encoder, np.array([row]), name="one").features[0]
        for train, _ in found.by_encoder.values():
            np.testing.assert_allclose(train[number], alone, atol=1e-5)
        assert labels[row] == (CLASSES[int(part.labels[number].argmax())],)
        assert part.patients[number] == corpus.patients[row]


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(
    launch: Callable[..., CompletedProcess[str]],
    make_probe: MakeProbe,
    corpus: Corpus,
    tmp_path: Path,
) -> None:
    val = corpus.keys[corpus.rows("val")].tolist()
    settings = make_probe(data=_damage(corpus.folder, tmp_path / "damaged", [val[1], val[-1]]))
    options = [f"encoder={settings.encoder}", f"data={settings.data}", "label_set=class"]
    options += [
        "multi_label=false",
        "l2_grid=[1.0, 0.01]",
        "resamples=100",
        "cpu_threads=1",
        "baselines=[random]",
    ]
    found = []
    for processes in (1, 2):
        places = [f"run_dir={tmp_path / str(processes)}", "max_unusable=0.1"]
        told = launch("finetune/main.py", *options, *places, processes=processes)
        assert told.returncode == 0, told.stderr
        assert told.stdout.splitlines()[-1].startswith("Report: ")
        assert told.stdout.count("Report: ") == told.stdout.count("Macro AUROC of") == 1
        warned = [line for line in told.stderr.splitlines() if "damaged: " in line]
        assert warned == [f"evaluation split: 2 left out, damaged: {val[1]}, {val[-1]}"]
        found.append(json.loads((tmp_path / str(processes) / SUMMARY).read_text()))
    one, two = found
    for key in ("unusable", "counts", "resamples"):
        assert one[key] == two[key]
    for name, facts in one["candidates"].items():
        assert facts["l2"] == two["candidates"][name]["l2"]
    for suffix in ("", "_random", "_difference"):
        key = f"auroc_macro{suffix}"
        assert one[key] == pytest.approx(two[key], abs=1e-3), key

"""Corpora of a run: mixed by weight, in either order, by any number of processes, and resumed."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from lamae.config import as_yaml, load_settings
from lamae.errors import InputError
from lamae.runs.tracking import read_metrics
from lamae.storage.corpus import Corpus
from pretrain.batches import MaskedBatch, Reader, step_batches
from pretrain.data import Corpora
from pretrain.run import pretrain
from pretrain.settings import PretrainSettings
from pretrain.start import start_training

MakeSettings = Callable[..., PretrainSettings]
CPU = torch.device("cpu")
BLOCKS = {"order": "blocks", "block_shards": 2}


@pytest.fixture
def mixed(corpus: Corpus, other_corpus: Corpus) -> dict[str, Any]:
    """Return settings of a mixture, three to one, of recordings of two rates and lengths."""
    many = {"data": corpus.folder, "weight": 3, "name": "many"}
    return {"data": [many, {"data": other_corpus.folder, "weight": 1}], "crop": "random"}


def process(index: int, count: int) -> Mock:
    return Mock(spec=Accelerator, process_index=index, num_processes=count, autocast=nullcontext)


def batch_of(settings: PretrainSettings, processes: int, step: int) -> list[MaskedBatch]:
    read = Reader(Corpora(settings).train, settings, CPU)
    each = [step_batches(settings, process(i, processes), read, step) for i in range(processes)]
    return [part for parts in each for part in parts]


def content(parts: list[MaskedBatch]) -> dict[str, tuple[bytes, bytes]]:
    return {
        key: (signal.numpy().tobytes(), visible.numpy().tobytes())
        for part in parts
        for key, signal, visible in zip(
            part.batch.keys, part.batch.signal, part.mask.visible, strict=True
        )
    }


@pytest.mark.parametrize("changes", [BLOCKS, {}], ids=["blocks", "global"])
@pytest.mark.parametrize("is_mixed", [True, False], ids=["mixture", "corpus"])
def test_one_two_and_four_processes_share_the_same_batch(
    make_settings: MakeSettings,
    other_corpus: Corpus,
    mixed: dict[str, Any],
    changes: dict[str, Any],
    is_mixed: bool,
) -> None:
    data = mixed if is_mixed else {"data": other_corpus.folder}
    settings = make_settings(**data, **changes, augmentation={"noise_probability": 0.5})
    for step in (0, 5, 1000):
        whole = content(batch_of(settings, 1, step))
        assert len(whole) == 8
        for processes in (2, 4):
            assert content(batch_of(settings, processes, step)) == whole


def test_a_run_over_blocks_reads_every_recording_once_in_an_epoch(
    make_settings: MakeSettings, other_corpus: Corpus, accelerator: Accelerator
) -> None:
    settings = make_settings(data=other_corpus.folder, **BLOCKS, batch_size=1)
    train = Corpora(settings).train
    read = Reader(train, settings, CPU)
    keys = [
        step_batches(settings, accelerator, read, step)[0].batch.keys[0]
        for step in range(len(train), 2 * len(train))
    ]
    assert sorted(keys) == sorted(other_corpus.keys[other_corpus.rows("train")])


def test_of_every_batch_each_corpus_has_its_share(
    make_settings: MakeSettings, mixed: dict[str, Any]
) -> None:
    settings = make_settings(**mixed)
    for step in range(6):
        keys = [key for part in batch_of(settings, 2, step) for key in part.batch.keys]
        assert sum(key.startswith("many:") for key in keys) == 6
        assert sum(key.startswith("shards:") for key in keys) == 2


def test_a_mixture_trains_is_validated_by_corpus_and_named_in_the_summary(
    make_settings: MakeSettings,
    mixed: dict[str, Any],
    corpus: Corpus,
    other_corpus: Corpus,
    accelerator: Accelerator,
) -> None:
    settings = make_settings(**mixed, **BLOCKS)
    pretrain(settings, accelerator)
    validated = [row for row in read_metrics(settings.run_dir) if "val/loss" in row]
    assert [row["step"] for row in validated] == [4, 8]
    for row in validated:
        expected = 0.75 * row["val/loss_many"] + 0.25 * row["val/loss_shards"]
        assert row["val/loss"] == pytest.approx(expected)
        assert row["val/loss_many"] != row["val/loss_shards"]
    summary = json.loads((settings.run_dir / "summary.json").read_text())
    assert summary["counts"]["train"] == len(corpus.rows("train")) + len(other_corpus.rows("train"))
    for name, share, whole in (("many", 0.75, corpus), ("shards", 0.25, other_corpus)):
        found = summary["corpora"][name]
        assert found["share"] == share and found["digest"] == whole.digest
        assert found["data"] == str(whole.folder)
        assert found["epochs"] == pytest.approx(64 * share / len(whole.rows("train")))
    state = json.loads(
        (settings.run_dir / "checkpoints" / "step-00000008" / "state.json").read_text()
    )
    assert state["validation_loss"] == validated[-1]["val/loss"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "global"}, r"order: blocks; expected global"),
        ({"block_shards": 3}, r"block_shards: 2; expected 3"),
        ("weight", r"corpus: shards with digest 3 x \w{12}, 1 x \w{12}; expected 2 x \w{12}, 1 x"),
        ("content", r"corpus: shards with digest 3 x (\w+), 1 x \w+; expected 3 x \1, 1 x 0{12}"),
        ("one", r"corpus: shards with digest 3 x \w+, 1 x \w+; expected \w{12}, of "),
    ],
)
def test_a_mixture_does_not_go_on_as_another(
    make_settings: MakeSettings,
    mixed: dict[str, Any],
    accelerator: Accelerator,
    changes: Any,
    message: str,
) -> None:
    settings = make_settings(**mixed, **BLOCKS)
    start_training(settings, accelerator, Corpora(settings)).save()
    again = mixed | BLOCKS | {"resume": True}
    assert start_training(make_settings(**again), accelerator, Corpora(settings)).step == 0
    if isinstance(changes, dict):
        again |= changes
    if changes == "weight":
        again["data"] = [mixed["data"][0] | {"weight": 2}, mixed["data"][1]]
    if changes == "one":
        again["data"] = mixed["data"][0]["data"]
    other = make_settings(**again)
    corpora = Corpora(other)
    if changes == "content":
        corpora.val[1].corpus.manifest["shards"][0]["sha256"] = "1" * 64
        corpora.val[1].corpus.digest = "0" * 64
    with pytest.raises(InputError, match=message):
        start_training(other, accelerator, corpora)


def test_a_corpus_without_a_split_is_named(
    make_settings: MakeSettings, mixed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(**mixed)
    rows = Corpus.rows

    def without(corpus: Corpus, split: str) -> np.ndarray:
        is_other = corpus.folder == mixed["data"][1]["data"]
        return rows(corpus, "missing" if is_other and split == "val" else split)

    monkeypatch.setattr(Corpus, "rows", without)
    with pytest.raises(InputError, match=rf"of {mixed['data'][1]['data']}: 0 samples"):
        Corpora(settings)


@pytest.mark.parametrize("residency", ["ram", "device"])
def test_wherever_a_mixture_is_kept_and_prepared_the_batches_are_the_same(
    make_settings: MakeSettings,
    mixed: dict[str, Any],
    accelerator: Accelerator,
    residency: str,
) -> None:
    host = make_settings(**mixed)
    (expected,) = step_batches(host, accelerator, Reader(Corpora(host).train, host, CPU), 3)
    for changes in ({"residency": residency}, {"preprocess_on": "device"}):
        settings = make_settings(**mixed, **changes)
        read = Reader(Corpora(settings).train, settings, CPU)
        (part,) = step_batches(settings, accelerator, read, 3)
        training = start_training(settings, accelerator, Corpora(settings))
        assert part.raw is not None and part.batch.keys == expected.batch.keys
        signal = part.arguments(CPU, training.preprocess)["signal"]
        torch.testing.assert_close(signal, expected.batch.signal, rtol=1e-3, atol=1e-3)
        assert torch.equal(part.mask.visible, expected.mask.visible)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "data must name at least one folder"),
        (["a/shards", "b/shards"], r"data: two of shards, shards are the same"),
        (["a", {"data": "a", "name": "b"}], r"data: two of a, a are the same"),
        ([{"data": "a", "weight": 0}, "b"], "greater than 0"),
    ],
)
def test_mixtures_that_make_no_sense_are_refused(
    make_settings: MakeSettings, data: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_settings(data=data)


def test_a_list_of_one_corpus_is_that_corpus(make_settings: MakeSettings, corpus: Corpus) -> None:
    alone, listed = make_settings(), make_settings(data=[str(corpus.folder)])
    assert content(batch_of(listed, 1, 3)) == content(batch_of(alone, 1, 3))
    assert Corpora(listed).digest == corpus.digest


def test_a_mixture_is_given_on_the_command_line_as_in_a_file(tmp_path: Path) -> None:
    text = "data=[{data: a, weight: 2}, {data: 'b'}]"
    settings = load_settings(PretrainSettings, [text, "run_dir=r"])
    assert [(str(s.data), s.weight) for s in settings.shares] == [("a", 2.0), ("b", 1.0)]
    config = tmp_path / "config.yaml"
    config.write_text(as_yaml(settings))
    assert load_settings(PretrainSettings, [str(config)]) == settings

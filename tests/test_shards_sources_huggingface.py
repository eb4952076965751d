"""Datasets of Hugging Face become shards, saved to disk, as Parquet or from a Hub on loopback."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from datasets import Array2D, ClassLabel, Features, List, Value

from lamae.config import ConfigError, load_settings
from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from shards.build.run import build_shards
from shards.foreign.rows import Dataset, Part
from shards.foreign.settings import DatasetSettings
from shards.settings import CommandSettings, ShardsSettings

RATE, ROWS = 100, 11
SAMPLES = 6 * RATE
FEATURES = Features(
    {
        "ecg": Array2D((12, SAMPLES), "float32"),
        "fs": Value("float64"),
        "leads": List(Value("string")),
        "subject_id": Value("int64"),
        "rhythm": ClassLabel(names=["sinus", "AF"]),
        "findings": List(ClassLabel(names=["LBBB", "PVC"])),
        "age": Value("int32"),
        "latent": List(Value("float32")),
    }
)


@pytest.fixture(autouse=True)
def no_progress() -> Iterator[None]:
    """Leave the terminal to the tests."""
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def signal(number: int) -> np.ndarray:
    """Return millivolts, (leads, samples), in steps of 5 uV."""
    steps = np.random.default_rng(number).integers(-300, 300, (12, SAMPLES))
    return (steps / 200).astype(np.float32)


def row(number: int) -> dict[str, Any]:
    return {
        "ecg": signal(number),
        "fs": float(RATE),
        "leads": list(LEADS),
        "subject_id": number // 2,
        "rhythm": number % 3 - 1,
        "findings": [0, 1][: number % 3],
        "age": 40 + number,
        "latent": [0.5] * 4,
    }


def dataset(first: int = 0, last: int = ROWS) -> datasets.Dataset:
    rows = [row(number) for number in range(first, last)]
    return datasets.Dataset.from_list(rows, features=FEATURES)


def write(kind: str, folder: Path) -> None:
    if kind == "saved":
        dataset().save_to_disk(str(folder))
    elif kind == "parquet":
        dataset().to_parquet(str(folder / "data.parquet"), batch_size=4)
    else:
        folder.mkdir()
        with (folder / "data.jsonl").open("w") as file:
            for number in range(ROWS):
                kept = {k: np.asarray(v).tolist() for k, v in row(number).items()}
                named = [[], ["LBBB"], ["LBBB", "PVC"]][number % 3]
                rhythm = (None, "sinus", "AF")[number % 3]
                file.write(json.dumps(kept | {"rhythm": rhythm, "findings": named}) + "\n")


Build = Callable[..., tuple[dict[str, Any], Corpus]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Return a function that builds the dataset in a folder."""

    def run(**changes: Any) -> tuple[dict[str, Any], Corpus]:
        values = {
            "source": tmp_path / "rows",
            "output": tmp_path / "shards",
            "source_kind": "huggingface",
            "split": {"train": 0.5, "val": 0.5, "test": 0.0},
            "shard_records": 3,
            "workers": 1,
        }
        summary = build_shards(ShardsSettings.model_validate(values | changes))
        return summary, Corpus(tmp_path / "shards")

    return run


@pytest.mark.parametrize("kind", ["saved", "parquet", "jsonl"])
def test_each_form_of_a_dataset_becomes_the_same_recordings(
    kind: str, build: Build, tmp_path: Path
) -> None:
    write(kind, tmp_path / "rows")
    summary, corpus = build()
    assert (summary["records"], summary["rejects"]) == (ROWS, {})
    numbers = [int(age or 0) - 40 for age in corpus.about("age")]
    assert sorted(numbers) == list(range(ROWS))
    rhythms, findings = corpus.labels("rhythm"), corpus.labels("findings")
    for place, number in enumerate(numbers):
        sample = corpus.sample(place)
        assert sample.patient_id == str(number // 2)
        assert rhythms[place] == (None, ("sinus",), ("AF",))[number % 3]
        assert findings[place] == ((), ("LBBB",), ("LBBB", "PVC"))[number % 3]
        np.testing.assert_allclose(sample.record.signal_mv(), signal(number), atol=1e-6)
    assert any("latent" in sentence and "not read" in sentence for sentence in summary["found"])


def test_splits_of_a_dataset_are_kept_where_it_has_several(build: Build, tmp_path: Path) -> None:
    parts = {"train": dataset(0, 4), "validation": dataset(4, 8), "test": dataset(8)}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "rows"))
    summary, corpus = build(split={"train": 0.8, "val": 0.1, "test": 0.1})
    assert [summary["splits"][name]["records"] for name in ("train", "val", "test")] == [4, 4, 3]
    assert corpus.sample(0).source == "train/00000#0"


def test_one_split_may_be_chosen(build: Build, tmp_path: Path) -> None:
    parts = {"train": dataset(0, 4), "test": dataset(8)}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "rows"))
    summary, _ = build(dataset={"splits": ["test"]})
    assert summary["records"] == 3
    with pytest.raises(InputError, match="dev; expected one of train, test"):
        build(dataset={"splits": ["dev"]}, output=tmp_path / "other")


def test_a_dataset_without_signals_is_refused_with_its_columns(
    build: Build, tmp_path: Path
) -> None:
    rows = datasets.Dataset.from_list([{"text": "a", "n": 1}])
    rows.save_to_disk(str(tmp_path / "rows"))
    with pytest.raises(InputError, match=r"columns text, n; expected one of signals"):
        build()
    with pytest.raises(InputError, match=r"no field 'x', which fields.signal names"):
        build(fields={"signal": "x"})


def test_a_folder_that_is_no_dataset_is_refused(build: Build, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    with pytest.raises(InputError, match="a folder of save_to_disk or of data files"):
        build()


def test_rows_that_cannot_be_recordings_are_rejects(build: Build, tmp_path: Path) -> None:
    lists = [signal(0).tolist(), [[1.0, 2.0], [1.0]], [], signal(3).tolist(), signal(4).tolist()]
    rates: list[float | None] = [100, 100, 100, None, 99.5]
    rows = [{"signal": s, "fs": r, "patient_id": "p"} for s, r in zip(lists, rates, strict=True)]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "rows"))
    summary, _ = build()
    assert summary["records"] == 1
    assert summary["rejects"] == {
        "unknown_sampling_rate": 1,
        "unreadable_sampling_rate": 1,
        "unreadable_signal": 1,
        "wrong_shape": 1,
    }


def test_listing_parquet_reads_no_signal(tmp_path: Path) -> None:
    write("parquet", tmp_path / "rows")
    some = Dataset(tmp_path / "rows", DatasetSettings(), ("age",))
    parts = some.parts("")
    assert [len(list(some.rows(part))) for part in parts] == [4, 4, 3]
    assert set(next(some.rows(parts[0]))) == {"age"}
    assert [int(each["age"]) for each in some.rows(parts[1], start=2)] == [46, 47]


def test_parts_are_named_by_commit() -> None:
    for part in (Part("train", 3, "abc"), Part("my-split", 0, "")):
        assert Part.parse(str(part)) == part


def test_a_name_on_the_hub_is_given_in_three_forms() -> None:
    for source in ("a/b", "hf://datasets/a/b", "hf://datasets/a/b@v2"):
        given = [f"source={source}", "source_kind=huggingface", "output=o"]
        settings = load_settings(CommandSettings, given)
        assert str(settings.source) == "a/b" and not settings.remote
        assert settings.dataset.revision == ("v2" if "@" in source else None)
    with pytest.raises(ConfigError, match="owner/name"):
        load_settings(CommandSettings, ["source=s3://a/b", "source_kind=huggingface", "output=o"])

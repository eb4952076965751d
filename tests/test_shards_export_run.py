"""A corpus leaves as Parquet and as plain tars, read here by the tools of others alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from lamae.errors import InputError
from lamae.release.licences import DataLicence
from lamae.storage.corpus import Corpus
from lamae.storage.samples import Sample
from shards.build.run import build_shards
from shards.export.run import export
from shards.export.settings import FormatSettings
from shards.settings import ShardsSettings
from tests.test_shards_hdf5_export import source as source  # recordings that differ in everything

LICENCE = DataLicence(name="Made up 1.0", license="ODbL-1.0", citation="Nobody 2026")


@pytest.fixture(scope="module")
def varied(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build recordings that differ in leads, lengths, rates, gains, labels and missing samples."""
    output = tmp_path_factory.mktemp("varied") / "shards"
    values = {"source": source, "output": output, "table": source / "labels.csv", "workers": 1}
    more: dict[str, Any] = {"min_duration_s": 1, "negative": ["none"], "label_columns": ["zeta"]}
    split = {"train": [0, 1, 2], "val": [3], "test": [4]}
    build_shards(ShardsSettings.model_validate(values | more | {"split": split}))
    return output


def run(program: str, *arguments: object, folder: Path) -> Any:
    """Run a program without this project; return the JSON that it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "USE_TORCH": "0"}
    command = [sys.executable, "-P", "-c", program, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


DATASETS = """
import json, sys
import datasets, numpy
found = datasets.load_dataset(sys.argv[1])
rows = {split: [] for split in found}
for split, some in found.items():
    types = some.features
    for row in some:
        row["signal"] = numpy.nan_to_num(numpy.array(row["signal"], "f4"), nan=9e9).tolist()
        labels = {n: c for n, c in row.items() if n.startswith("labels_")}
        row |= {n: c and [types[n].feature.int2str(x) for x in c] for n, c in labels.items()}
        rows[split].append(row)
print(json.dumps({"rows": rows, "signal": type(types["signal"]).__name__}))
"""


def check(rows: dict[str, list[dict[str, Any]]], corpus: Corpus) -> None:
    """Hold what datasets has read against the corpus."""
    assert list(rows) == list(corpus.splits())
    for split, found in rows.items():
        assert len(found) == len(corpus.rows(split))
        for row, place in zip(found, corpus.rows(split), strict=True):
            sample = corpus.sample(int(place))
            expected = np.nan_to_num(sample.record.signal_mv(), nan=9e9)
            assert np.array_equal(np.array(row["signal"], np.float32), expected)
            assert row["leads"] == list(sample.record.leads) and row["unit"] == "mV"
            assert row["sampling_rate"] == sample.record.sampling_rate
            for name in ("key", "patient_id", "split", "fold"):
                assert row[name] == getattr(sample, name)
            for label_set, classes in sample.labels.items():
                assert row[f"labels_{label_set}"] == (None if classes is None else list(classes))


def test_datasets_opens_a_parquet_folder_with_typed_columns(
    varied: Path, simulated_shards: Path, tmp_path: Path
) -> None:
    for shards, kind in ((varied, "List"), (simulated_shards, "Array2D")):
        output = tmp_path / kind
        told = export(
            FormatSettings(data=shards, output=output, format="parquet", data_set=LICENCE)
        )
        found = run(DATASETS, output, folder=tmp_path)
        assert found["signal"] == kind and told["records"] == len(Corpus(shards))
        check(found["rows"], Corpus(shards))


CROISSANT = """
import json, sys, warnings
import mlcroissant, numpy
found = mlcroissant.Dataset(sys.argv[1])
assert not found.metadata.ctx.issues.errors
rows = []
for record in found.records("recordings") if len(sys.argv) > 2 else ():
    row = {name.rpartition("/")[2]: value for name, value in record.items()}
    signal = numpy.stack([numpy.asarray(lead, "f4") for lead in row["signal"]])
    key = row["key"]
    key = key.decode() if isinstance(key, bytes) else key
    rows.append({"key": key, "signal": signal.tolist(), "rate": int(row["sampling_rate"])})
print(json.dumps(rows))
"""


@pytest.mark.slow
def test_mlcroissant_reads_the_records_of_a_parquet_folder(
    simulated_shards: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    export(FormatSettings(data=simulated_shards, output=output, format="parquet", data_set=LICENCE))
    rows = run(CROISSANT, output / "croissant.json", "records", folder=tmp_path)
    corpus = Corpus(simulated_shards)
    by_key = {key: place for place, key in enumerate(corpus.keys)}
    assert {row["key"] for row in rows} == set(by_key)
    for row in rows:
        record = corpus.sample(by_key[row["key"]]).record
        assert row["rate"] == record.sampling_rate
        assert np.array_equal(np.array(row["signal"], np.float32), record.signal_mv())


WEBDATASET = """
import json, sys
import webdataset, numpy
rows = []
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False).decode():
    signal = numpy.nan_to_num(sample["npy"], nan=9e9)
    rows.append({"key": sample["__key__"], "signal": signal.tolist(), "about": sample["json"]})
print(json.dumps(rows))
"""


@pytest.mark.slow
def test_webdataset_decodes_plain_tars_by_itself(varied: Path, tmp_path: Path) -> None:
    output, corpus = tmp_path / "tars", Corpus(varied)
    export(FormatSettings(data=varied, output=output, format="webdataset"))
    rows = run(WEBDATASET, *sorted(output.glob("*.tar")), folder=tmp_path)
    by_key = {key: place for place, key in enumerate(corpus.keys)}
    assert {row["key"] for row in rows} == set(by_key)
    for row in rows:
        sample = corpus.sample(by_key[row["key"]])
        signal = np.nan_to_num(sample.record.signal_mv(), nan=9e9)
        assert np.array_equal(np.array(row["signal"], np.float32), signal)
        assert row["about"]["labels"] == {n: c and list(c) for n, c in sample.labels.items()} | {
            n: [] for n, c in sample.labels.items() if c == ()
        }
    assert run(CROISSANT, output / "croissant.json", folder=tmp_path) == []


@pytest.mark.parametrize(
    ("form", "kind"), [("webdataset", "webdataset"), ("parquet", "huggingface")]
)
def test_what_is_exported_builds_the_same_recordings(
    form: str, kind: str, simulated_shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export(FormatSettings.model_validate({"data": simulated_shards, "output": out, "format": form}))
    values = {"source": out, "output": tmp_path / "again", "source_kind": kind, "workers": 1}
    build_shards(ShardsSettings.model_validate(values))
    first, again = Corpus(simulated_shards), Corpus(tmp_path / "again")
    names = ("patient_id", "split", "labels", "about")
    found = [
        {
            (sample.record.signal_mv().tobytes(), json.dumps([_sorted(sample, n) for n in names]))
            for sample in map(corpus.sample, range(len(corpus)))
        }
        for corpus in (first, again)
    ]
    assert found[0] == found[1]


def _sorted(sample: Sample, name: str) -> Any:
    value = getattr(sample, name)
    if isinstance(value, str):
        return value
    return sorted(pair for pair in dict(value).items() if pair[1] != "none")  # a mark of nothing


def test_the_card_names_licence_splits_and_classes(varied: Path, tmp_path: Path) -> None:
    export(FormatSettings(data=varied, output=tmp_path / "a", format="parquet", data_set=LICENCE))
    export(FormatSettings(data=varied, output=tmp_path / "b", format="parquet"))
    card = (tmp_path / "a" / "README.md").read_text()
    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata["license"] == "odbl" and metadata["configs"][0]["data_files"][0] == {
        "split": "train",
        "path": "data/train-*",
    }
    assert "| AF | " in card and "Nobody 2026" in card and "| train | 5 | 3 |" in card, card
    without = (tmp_path / "b" / "README.md").read_text()
    assert "may not be shared" in without and "license:" not in without


def test_an_output_that_exists_is_never_replaced(varied: Path, tmp_path: Path) -> None:
    for form in ("parquet", "webdataset", "hdf5"):
        values = {"data": varied, "output": tmp_path, "format": form}
        with pytest.raises(InputError, match="it exists"):
            export(FormatSettings.model_validate(values))
    assert list(tmp_path.iterdir()) == []


def test_parquet_is_read_without_any_tool_of_hugging_face(varied: Path, tmp_path: Path) -> None:
    export(FormatSettings(data=varied, output=tmp_path / "a", format="parquet"))
    files = sorted((tmp_path / "a" / "data").glob("*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in files) == len(Corpus(varied))

"""A corpus as a folder of Parquet: `datasets.load_dataset(folder)` opens it with typed columns.

A row is a recording. `signal` is in millivolts, float32 (leads, samples), NaN where a sample is
missing; classes of a label set are a list, empty where none was found and null where nobody looked.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from lamae.files import open_whole
from lamae.storage.corpus import Corpus
from lamae.storage.samples import SPLITS, Sample
from shards.foreign.rows import import_datasets

FOLDER = "data"
"""Folder of the files, of which each holds recordings of one split."""
SIGNAL = "signal"
UNIT = "mV"

_TEXTS = ("key", "patient_id", "split", "source", "origin")
_MAX_CLASSES = 1000
_GROUP_BYTES = 2**25
_FILE_BYTES = 2**29


def features_of(corpus: Corpus) -> Any:
    """Return the types of the columns, as datasets has them."""
    types = import_datasets()
    rows = np.arange(len(corpus))
    samples, codes = corpus.lengths(rows)[0], corpus.lead_sets(rows)[0]
    numbers = types.List(types.List(types.Value("float32")))
    if (samples == samples[0]).all() and (codes == codes[0]).all():
        leads = len(corpus.lead_sets(rows[:1])[1][codes[0]])
        numbers = types.Array2D((leads, int(samples[0])), "float32")
    found = {SIGNAL: numbers, "leads": types.List(types.Value("string"))}
    found |= {"sampling_rate": types.Value("int32"), "unit": types.Value("string")}
    found |= {name: types.Value("string") for name in _TEXTS}
    found |= {"fold": types.Value("int32"), "flags": types.List(types.Value("string"))}
    for name in corpus.label_sets():
        classes = sorted({c for some in corpus.labels(name) for c in some or ()})
        few = 0 < len(classes) <= _MAX_CLASSES
        inner = types.ClassLabel(names=classes) if few else types.Value("string")
        found[label_column(name)] = types.List(inner)
    if facts := corpus.facts():
        found["about"] = {name: types.Value("string") for name in facts}
    return types.Features(found)


def label_column(label_set: str) -> str:
    """Return the column of a label set."""
    return f"labels_{label_set}"


def write_parquet(corpus: Corpus, folder: Path) -> dict[str, list[str]]:
    """Write the files of each split; returns their paths below the folder."""
    features = features_of(corpus)
    longest = int(corpus.lengths(np.arange(len(corpus)))[0].max())
    row_bytes = 4 * 12 * longest
    written: dict[str, list[str]] = {}
    with tqdm(total=len(corpus), unit="rec", disable=None) as bar:
        for split in corpus.splits():
            rows = corpus.rows(split)
            step = max(1, _FILE_BYTES // row_bytes)
            starts = range(0, len(rows), step)
            for number, start in enumerate(starts):
                name = f"{FOLDER}/{split}-{number:05d}-of-{len(starts):05d}.parquet"
                some = rows[start : start + step]
                _write_file(corpus, some, features, folder / name, row_bytes, bar)
                written.setdefault(split, []).append(name)
    return written


def _write_file(
    corpus: Corpus, rows: np.ndarray, features: Any, path: Path, row_bytes: int, bar: Any
) -> None:
    schema, step = features.arrow_schema, max(1, _GROUP_BYTES // row_bytes)
    with open_whole(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for start in range(0, len(rows), step):
            samples = [corpus.sample(int(row)) for row in rows[start : start + step]]
            writer.write_table(_table(samples, features, schema))
            bar.update(len(samples))


def _table(samples: Sequence[Sample], features: Any, schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        if field.name == SIGNAL:
            storage = nested([sample.record.signal_mv() for sample in samples])
            is_array = isinstance(field.type, pa.ExtensionType)
            columns.append(
                pa.ExtensionArray.from_storage(field.type, storage)
                if is_array
                else storage.cast(field.type)
            )
        else:
            values = [_cell(sample, field.name, features) for sample in samples]
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def nested(signals: Sequence[np.ndarray]) -> pa.ListArray:
    """Return arrays (leads, samples) as lists of lists."""
    values = pa.array(np.concatenate([signal.ravel() for signal in signals]))
    lengths = np.concatenate([[signal.shape[1]] * len(signal) for signal in signals])
    rows = pa.ListArray.from_arrays(_offsets(lengths), values)
    return pa.ListArray.from_arrays(_offsets([len(signal) for signal in signals]), rows)


def _offsets(lengths: Sequence[int] | np.ndarray) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _cell(sample: Sample, name: str, features: Mapping[str, Any]) -> Any:
    record = sample.record
    of_record = {"leads": record.leads, "sampling_rate": record.sampling_rate, "unit": UNIT}
    if name in of_record:
        return of_record[name]
    if name == "about":
        return {fact: sample.about.get(fact) for fact in features[name]}
    if name.startswith(label_column("")):
        classes = sample.labels.get(name.removeprefix(label_column("")))
        numbers = getattr(features[name].feature, "names", None)
        if classes is None or numbers is None:
            return classes
        return [numbers.index(each) for each in classes]
    return getattr(sample, name)


def features_in_yaml(features: Any) -> list[dict[str, Any]]:
    """Return types as the YAML of a card states them."""
    found: list[dict[str, Any]] = features._to_yaml_list()
    return found


def split_files(written: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Yield the files of each split as a pattern, as the YAML of a card states them."""
    for split in SPLITS:
        if split in written:
            yield {"split": split, "path": f"{FOLDER}/{split}-*"}

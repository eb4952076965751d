"""Shards are read by WebDataset and Hugging Face's datasets, without any code of this project.

Each reads in a process of its own: webdataset leaves its files open, which is an error in a test,
and nothing that a test has imported can help it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.storage.codec import encode_digital
from lamae.storage.samples import Codec, Sample, decode_metadata, encode_metadata, metadata
from lamae.storage.webdataset_decoder import decode_ecg
from shards.build.encode import encode_sample
from shards.build.writer import ShardWriter

ROOT = Path(__file__).resolve().parents[1]
PLAIN = 7
"""Recordings at the start without label, fold, comment, flag: more than types are drawn from."""
RECORDS = 12


def make_sample(number: int) -> Sample:
    """Make a recording that is plain at first, and later has all that a recording can have."""
    leads = ("I", "II", "V1")[: 3 - number % 2]
    digital = np.random.default_rng(number).integers(-999, 999, (len(leads), 40 + number))
    record = Record(
        name=f"r{number}",
        digital=digital.astype(np.int16),
        leads=leads,
        sampling_rate=500,
        gain=(200.0, 4.88, 1e3)[: len(leads)],
        baseline=(0, -5, 7)[: len(leads)],
        comments=("Größe: 1", "") if number >= PLAIN else (),
    )
    if number < PLAIN:
        return Sample(f"k{number}", record, f"p{number}", "train")
    labels: dict[str, tuple[str, ...] | None] = {"rhythm": ("AF", "PVC"), "form": None}
    return Sample(
        key=f"k{number}",
        record=record,
        patient_id=f"p{number}",
        split="train",
        fold=number,
        labels=labels if number % 2 else {"form": ()},
        about={f"report_{number}": "ST elevation", "age": "60"},
        source=f"files/r{number}",
        flags=("flat_lead",),
        notes=("Lead III was computed.",),
    )


SAMPLES = [make_sample(number) for number in range(RECORDS)]


def write_shards(folder: Path, codec: Codec) -> list[str]:
    """Write two shards; returns their paths."""
    tars = [folder / f"train-{number:06d}.tar" for number in range(2)]
    for tar, part in zip(tars, (SAMPLES[:10], SAMPLES[10:]), strict=True):
        with ShardWriter(tar) as writer:
            for sample in part:
                writer.add(encode_sample(sample, codec))
    return [str(tar) for tar in tars]


def read_with(program: str, tars: list[str], folder: Path) -> list[dict[str, Any]]:
    """Run a program that prints a sample per line, in a place that has nothing of this project."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *tars],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found: list[dict[str, Any]], codec: Codec, signal: str | None) -> None:
    """Hold what a tool has read against what was written."""
    assert [sample["key"] for sample in found] == [sample.key for sample in SAMPLES]
    for sample, written in zip(found, SAMPLES, strict=True):
        fields = metadata(written, codec)
        assert sample["json"] == json.loads(encode_metadata(fields))
        assert json.loads(sample["json"]["labels"]) == fields["labels"]
        assert json.loads(sample["json"]["about"]) == fields["about"]
        assert json.loads(sample["json"]["fold"]) == fields["fold"]
        if signal:
            assert sample[signal] == written.record.digital.tolist()


WEBDATASET = """
import json, sys
import webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False).decode():
    signal = {name: sample[name].tolist() for name in ("npy",) if name in sample}
    print(json.dumps({"key": sample["__key__"], "json": sample["json"], **signal}))
"""


@pytest.mark.parametrize("codec", ["npy", "ecg"])
def test_webdataset_alone_reads_metadata_and_plain_signals(codec: Codec, tmp_path: Path) -> None:
    found = read_with(WEBDATASET, write_shards(tmp_path, codec), tmp_path)
    check(found, codec, "npy" if codec == "npy" else None)


DATASETS = """
import json, sys
import datasets, numpy
files = {"train": sys.argv[2:]}
streaming = sys.argv[1] == "streaming"
found = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=streaming)
for sample in found:
    signal = {name: numpy.array(sample[name]).tolist() for name in ("npy",) if name in sample}
    print(json.dumps({"key": sample["__key__"], "json": sample["json"], **signal}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["npy", "ecg"])
@pytest.mark.parametrize("mode", ["streaming", "stored"])
def test_datasets_alone_reads_all_though_the_first_samples_say_least(
    mode: str, codec: Codec, tmp_path: Path
) -> None:
    found = read_with(DATASETS, [mode, *write_shards(tmp_path, codec)], tmp_path)
    check(found, codec, "npy" if codec == "npy" else None)


WEBDATASET_DECODED = """
import json, sys
import webdataset
from lamae.storage.webdataset_decoder import decode_ecg
raw = webdataset.WebDataset(sys.argv[1:], shardshuffle=False)
for undecoded, sample in zip(raw.map(decode_ecg), raw.decode().map(decode_ecg), strict=True):
    assert (undecoded["digital"] == sample["digital"]).all() and sample["digital"].dtype == "int16"
    digital = sample["digital"].tolist()
    print(json.dumps({"key": sample["__key__"], "json": sample["json"], "digital": digital}))
"""

DATASETS_DECODED = """
import json, sys
import datasets, numpy
from lamae.storage.webdataset_decoder import decode_ecg
files, streaming = {"train": sys.argv[2:]}, sys.argv[1] == "streaming"
found = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=streaming)
for sample in found.map(decode_ecg):
    digital = numpy.array(sample["digital"]).tolist()
    print(json.dumps({"key": sample["__key__"], "json": sample["json"], "digital": digital}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["npy", "ecg"])
@pytest.mark.parametrize(
    ("program", "arguments"),
    [(WEBDATASET_DECODED, []), (DATASETS_DECODED, ["streaming"]), (DATASETS_DECODED, ["stored"])],
    ids=["webdataset", "datasets-streaming", "datasets-stored"],
)
def test_one_function_gives_both_tools_the_signal_of_either_codec(
    program: str, arguments: list[str], codec: Codec, tmp_path: Path
) -> None:
    found = read_with(program, [*arguments, *write_shards(tmp_path, codec)], tmp_path)
    check(found, codec, "digital")


@pytest.mark.parametrize("sample", SAMPLES[:: PLAIN + 1], ids=["plain", "full"])
def test_metadata_comes_back_from_its_member(sample: Sample) -> None:
    fields = metadata(sample, "npy")
    assert decode_metadata(encode_metadata(fields)) == fields


def test_what_is_no_sample_of_a_shard_is_refused_by_name() -> None:
    record = SAMPLES[0].record
    about = encode_metadata(metadata(SAMPLES[0], "ecg"))
    payload = encode_digital(record.digital, record.leads)
    whole = {"__key__": "k0", "json": about, "ecg": payload}
    assert np.array_equal(decode_ecg(whole)["digital"], record.digital)
    for wrong in ({"__key__": "k0", "json": about, "jpg": b""}, {"__key__": "k0", "ecg": payload}):
        with pytest.raises(InputError, match="sample k0"):
            decode_ecg(wrong)
    with pytest.raises(InputError, match="checksum"):
        decode_ecg(whole | {"ecg": payload[:-1]})


def test_the_decoder_loads_no_tool_of_others() -> None:
    code = (
        "import sys, lamae.storage.webdataset_decoder as _;"
        "sys.exit(bool({'torch', 'webdataset', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0

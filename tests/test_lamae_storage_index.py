"""Forged indexes: what a row says of its signal is believed only where it can be."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lamae.errors import InputError
from lamae.storage.corpus import INDEX, MANIFEST, Corpus, write_index

LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]


def forged(shards: Path, folder: Path, **values: Any) -> Corpus:
    """Open a copy of shards whose index says other values of every row."""
    shutil.copytree(shards, folder)
    rows = pq.read_table(folder / INDEX).to_pylist()
    write_index(folder / INDEX, [row | values for row in rows])
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("index")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return Corpus(folder)


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({"samples": 2_000_000_000}, "samples"),
        ({"samples": -1}, "samples"),
        ({"samples": None}, "samples"),
        ({"sampling_rate": 0}, "sampling_rate"),
        ({"sampling_rate": 2_000_000_000}, "sampling_rate"),
        ({"leads": [f"X{number}" for number in range(12)]}, "leads"),
        ({"leads": ["I"] * 12}, "leads"),
        ({"leads": ["I"] * 10_000}, "leads"),
        ({"gain": [0.0] * 12}, "gain"),
        ({"gain": [float("nan")] * 12}, "gain"),
        ({"gain": [1.0]}, "gain"),
        ({"baseline": [0] * 13}, "baseline"),
        ({"codec": None}, "codec"),
        ({"patient_id": None}, "patient_id"),
    ],
    ids=str,
)
def test_a_forged_column_is_named(
    simulated_shards: Path, tmp_path: Path, values: dict[str, Any], column: str
) -> None:
    corpus = forged(simulated_shards, tmp_path / "forged", **values)
    with pytest.raises(InputError, match=rf"index .*column {column}: .*; expected"):
        _ = corpus.patients, corpus.lengths([0]), corpus.signals_mv([0])


def test_a_size_that_the_payload_denies_is_refused_before_room_is_made(
    simulated_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = forged(simulated_shards, tmp_path / "forged", samples=50_000_000)

    def empty(*_: object) -> None:
        raise AssertionError("room is made")

    monkeypatch.setattr(np, "empty", empty)
    with pytest.raises(InputError, match=r"bytes of samples; expected 1200000000"):
        corpus.digital(range(8))


@pytest.mark.parametrize("leads", [LEADS[:1], []])
def test_fewer_leads_than_were_stored_are_refused(
    simulated_shards: Path, tmp_path: Path, leads: list[str]
) -> None:
    about = {"leads": leads, "gain": [1.0] * len(leads), "baseline": [0] * len(leads)}
    corpus = forged(simulated_shards, tmp_path / "forged", **about)
    with pytest.raises(InputError, match="expected"):
        corpus.digital([0])


def test_an_index_that_is_a_pipe_is_refused_and_not_waited_for(
    simulated_shards: Path, tmp_path: Path
) -> None:
    shutil.copytree(simulated_shards, tmp_path / "shards")
    (tmp_path / "shards" / INDEX).unlink()
    os.mkfifo(tmp_path / "shards" / INDEX)
    with pytest.raises(InputError, match="a folder, pipe or device"):
        Corpus(tmp_path / "shards")

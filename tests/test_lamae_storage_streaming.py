"""Shards are streamed from a web server by webdataset and datasets, with our decoder alone.

Each reads in a process of its own, as a user does; signals are held against those of `Corpus`.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamae.storage.corpus import Corpus

ROOT = Path(__file__).resolve().parents[1]

MV = """
def millivolts(sample):
    about = sample["json"]
    gain, baseline = (numpy.array(about[name], "f4")[:, None] for name in ("gain", "baseline"))
    return ((numpy.asarray(sample["digital"], "f4") - baseline) / gain).tolist()
"""
WEBDATASET = f"""
import json, sys
import numpy, webdataset
from lamae.storage.webdataset_decoder import decode_ecg
{MV}
tars = sys.argv[1:]
for sample in webdataset.WebDataset(tars, shardshuffle=False).decode().map(decode_ecg):
    print(json.dumps({{"key": sample["__key__"], "mv": millivolts(sample)}}))
"""
DATASETS = f"""
import json, sys
import datasets, numpy
from lamae.storage.webdataset_decoder import decode_ecg
{MV}
files = {{"train": sys.argv[1:]}}
rows = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=True)
for sample in rows.map(decode_ecg):
    print(json.dumps({{"key": sample["__key__"], "mv": millivolts(sample)}}))
"""
PROGRAMS = {"webdataset": WEBDATASET, "datasets": DATASETS}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def address(simulated_shards: Path) -> Iterator[str]:
    """Serve the folder of shards on loopback."""
    handler = partial(_Quiet, directory=str(simulated_shards))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("tool", ["webdataset", "datasets"])
def test_streamed_signals_are_those_of_the_corpus(
    tool: str, address: str, simulated_shards: Path, tmp_path: Path
) -> None:
    corpus = Corpus(simulated_shards)
    urls = [f"{address}/{shard['file']}" for shard in corpus.manifest["shards"]]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "hf")}
    environment |= {"USE_TORCH": "0" if tool == "datasets" else "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[tool], *urls],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["key"] for row in rows] == list(corpus.keys)
    for place, row in enumerate(rows):
        expected = corpus.record(place).signal_mv()
        assert np.array_equal(np.array(row["mv"], np.float32), expected)

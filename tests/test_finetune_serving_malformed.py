"""Uploads that are damaged, hostile or nonsense: a reason for each, nothing lost, memory flat."""

import io
import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from finetune.serving.settings import ServeSettings
from tests.test_finetune_serving_app import served_model
from tests.test_finetune_serving_run import Running
from tests.test_lamae_readers_any_file import write_all
from tests.test_lamae_readers_hospital_damage import damaged
from tests.test_lamae_readers_hospital_files import WRITERS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),  # of wfdb, writing
]

ROUNDS = 300
WARM, MAX_GROWTH_BYTES = 100, 2**26

Files = list[tuple[str, bytes]]


def whole_files(folder: Path) -> list[Files]:
    """Return a recording in each of the formats, as files to upload."""
    found = [
        [(name, (folder / name).read_bytes())] for name in write_all(folder).values() if "." in name
    ]
    found.append([(f"e{end}", (folder / f"e{end}").read_bytes()) for end in (".hea", ".dat")])
    for form, write in WRITERS.items():
        write(folder / form)
        found.append([(form, (folder / form).read_bytes())])
    return found


def odd_files() -> list[Files]:
    """Return uploads that never were recordings, or claim to be huge."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb.csv", b"0" * 10_000_000)
    header = {"descr": "<f8", "fortran_order": False, "shape": (12, 10**12)}
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, header)
    object_array = io.BytesIO()
    np.save(object_array, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return [
        [("a.zip", archive.getvalue())],
        [("a.npy", huge.getvalue())],
        [("b.npy", object_array.getvalue())],
        [("r.hea", b"r 12 500 999999999\n" + b"r.dat 16 200 16 0 0 0 0 I\n" * 12), ("r.dat", b"")],
        [("r.hea", b"r/3 12 500 5000\nx 1000\n~ 100\ny 1000\n")],
        [("r.hea", b"r 1 500 10\n/etc/passwd 16 200 16 0 0 0 0 I\n")],
        [("r.hea", b"r 1 500 10\n../../etc/passwd 16 200 16 0 0 0 0 I\n")],
        [("page.html", b"<script>alert(1)</script>")],
        [
            (
                "a.xml",
                b'<!DOCTYPE x [<!ENTITY a "'
                + b"b" * 9999
                + b'">]><AnnotatedECG>&a;</AnnotatedECG>',
            )
        ],
        [("a.pdf", b"%PDF-1.7" + bytes(9999))],
        [("a.png", b"\x89PNG\r\n\x1a\n" + bytes(9999))],
        [("empty", b"")],
        [("many", b"1")] * 17,
        [("\u202egpj.exe", b"MZ")],
        [("x" * 4000, b"I,II\n1,2\n")],
        [("con\x00trol.csv", b"I,II\n1,2\n")],
    ]


def odd_bodies() -> list[tuple[str, bytes]]:
    """Return bodies of other types and of broken ones."""
    numbers = {"sampling_rate": 500, "leads": ["I"], "samples": [[1e308, -1e308] * 500]}
    edge = "multipart/form-data; boundary=x"
    return [
        ("application/json", json.dumps(numbers).encode()),
        ("application/json", json.dumps(numbers | {"samples": [[0.1] * 600]}).encode()),
        ("application/json", json.dumps(numbers | {"samples": [[None] * 600]}).encode()),
        ("application/json", json.dumps(numbers | {"sampling_rate": 1e12}).encode()),
        ("application/json", json.dumps(numbers | {"leads": ["Q"]}).encode()),
        ("application/json", b'{"samples":' + b"[" * 200_000),
        ("application/json", b"\xff\xfe\x00"),
        ("text/html", b"<p>"),
        ("multipart/form-data", b"no boundary"),
        (edge, b"--x\r\n\r\n"),
        (edge, b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nI,II'),
        (edge, b'--x\r\nContent-Disposition: form-data; name="unit"\r\n\r\n' + b"u" * 2**21),
        (edge, b"--x\r\n" + b"A: " + b"b" * 2**20),
        (edge, b"--x--"),
    ]


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def uploads(folder: Path) -> Iterator[dict[str, object]]:
    """Return 300 requests, the last ones like the first."""
    rng = np.random.default_rng(7)
    good = whole_files(folder)
    for number in range(ROUNDS):
        if number % 10 == 8:
            odd = odd_files()
            files = odd[number // 10 % len(odd)]
        elif number % 10 == 9:
            kind, body = odd_bodies()[number // 10 % len(odd_bodies())]
            yield {"content": body, "headers": {"content-type": kind}}
            continue
        else:
            files = [(n, damaged(c, rng)) for n, c in good[int(rng.integers(len(good)))]]
        rate = {"sampling_rate": ["500", "500", "500", "", "nan"][int(rng.integers(5))]}
        yield {"files": [("file", each) for each in files], "data": rate}


def test_300_malformed_uploads_each_have_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    codes: Counter[int] = Counter()
    before = 0
    settings = ServeSettings(model=str(served_model()), deadline_s=60)
    with Running(settings, tmp_path) as running, httpx2.Client(timeout=90) as client:
        for number, request in enumerate(uploads(tmp_path / "whole")):
            answer = client.post(f"{running.address}/api/predict", **request)  # type: ignore[arg-type]
            codes[answer.status_code] += 1
            said = answer.json()
            assert answer.status_code in (200, 422), (answer.status_code, said, request)
            if answer.status_code == 422:
                assert said["error"] and "root:" not in said["error"]
                assert str(tmp_path) not in said["error"]
            if number == WARM:
                before = resident_bytes()
        assert resident_bytes() - before < MAX_GROWTH_BYTES
        assert client.get(f"{running.address}/healthz").json() == {"status": "ready"}
        assert not list((tmp_path / "temporary").iterdir())
    assert codes[200] > 20 and codes[422] > 100, codes

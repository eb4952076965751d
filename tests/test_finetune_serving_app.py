"""The HTTP interface: answers of the model, and nothing for those who may not ask."""

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import lamae
from finetune.serving.answers import Answered, Model, Part, ReadRecording
from finetune.serving.app import make_app
from finetune.serving.examination import Examiner, open_examiner
from finetune.serving.settings import ServeSettings
from finetune.serving.upload import MAX_BYTES, Upload
from finetune.serving.worker import Deadline, Worker
from tests.test_lamae_pretrained_pretrained import save_csv, signal_mv

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "a-secret-of-some-letters"


def served_model() -> Path:
    return ROOT / "tests" / "before" / "probe"


def described() -> Model:
    return Model(
        name="fake", kind="classifier", version=None, classes=[], multi_label=True,
        calibration=None, threshold_rule=None, leads=["I"], sampling_rate=100, window_s=10,
        parts={}, watcher=None, reference=None, formats=[],
    )  # fmt: skip


class Slow:
    """An examiner that answers once it may."""

    described = described()

    def __init__(self) -> None:
        self.may, self.began = threading.Event(), threading.Semaphore(0)

    def examine(self, upload: Upload, parts: Collection[Part], deadline: Deadline) -> Answered:
        self.began.release()
        while not self.may.wait(0.01):
            deadline.check()
        if upload.json == b"{}":
            raise ZeroDivisionError("the name of a patient")
        read = ReadRecording(
            name="", format="", leads=[], dropped=[], sampling_rate=1, duration_s=1,
            resolution_uv=1, amplitude_mv=None, missing={}, einthoven=None, quality=[], notes=[],
        )  # fmt: skip
        return Answered(
            model="fake", version=None, recording=read, classes=[], score=None, windows=1,
            cautions=[], seconds=0,
        )  # fmt: skip


def client_of(opens: Callable[[], Any], *, worker: Worker[Any] | None = None, **how: Any) -> Any:
    settings = ServeSettings(**({"model": "any"} | how))
    worker = worker or Worker(opens)
    worker.start()
    assert worker.opened.wait(60) and worker.failure is None, worker.failure
    app = make_app(worker, settings)
    return TestClient(app, base_url="http://127.0.0.1:8400", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    return open_examiner(ServeSettings(model=str(served_model()), detector="lamae-cpu.ptbxl"))


@pytest.fixture(scope="module")
def client(examiner: Examiner) -> Any:
    return client_of(lambda: examiner)


@pytest.fixture(scope="module")
def wfdb(recordings: Path) -> list[Path]:
    header = sorted(recordings.rglob("*.hea"))[0]
    return [header, header.with_suffix(".dat")]


def sent(paths: Collection[Path]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", (path.name, path.read_bytes())) for path in paths]


def test_the_page_gives_the_probabilities_of_python_in_any_form(
    client: Any, wfdb: list[Path]
) -> None:
    model = lamae.from_pretrained(served_model())
    record = lamae.read_ecg(wfdb[0])
    wanted = model.answer(record, min_leads=1).probabilities
    assert wanted is not None
    order = np.argsort(record.leads)
    as_json = {
        "samples": (1000 * record.signal_mv()[order]).tolist(),
        "sampling_rate": record.sampling_rate,
        "leads": [record.leads[i] for i in order],
        "unit": "uV",
    }
    for answer in (
        client.post("/api/predict", files=sent(wfdb)),
        client.post("/api/predict", files=sent(wfdb[::-1])),
        client.post("/api/predict", json=as_json),
    ):
        assert answer.status_code == 200, answer.text
        found = [one["probability"] for one in answer.json()["classes"]]
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_every_part_that_is_asked_for_comes_or_has_a_reason(client: Any, wfdb: list[Path]) -> None:
    parts = {"parts": ["paper", "leads", "deviation", "similar", "report"]}
    found = client.post("/api/predict", files=sent(wfdb), params=parts).json()
    assert found["recording"]["format"] == "WFDB"
    assert found["recording"]["einthoven"]["peak_mv"] < 0.02
    whole, *without = found["taken"]
    assert not whole["leads"]
    shown = [one["probability"] for one in found["classes"]]
    np.testing.assert_allclose(whole["probabilities"], shown, atol=1e-6)
    assert {len(one["leads"]) for one in without} >= {1, 6}
    assert found["deviation"]["watcher"] == "lamae-cpu.ptbxl"
    assert all(name in found["figures"] for name in ("paper", "deviation", "expected"))
    assert found["figures"]["paper"].count(">aVF<") == 1
    assert list(found["unavailable"]) == ["similar"]
    assert "reference=" in found["unavailable"]["similar"]
    page = found["report"]
    assert f"<td>{shown[0]:.3f}</td>" in page and "not a medical device" in page
    brief = client.post("/api/predict", files=sent(wfdb)).json()
    assert brief["taken"] is brief["deviation"] is brief["report"] is None


def test_an_encoder_says_that_it_names_no_class_and_finds_itself(
    wfdb: list[Path], tmp_path: Path
) -> None:
    save_csv(tmp_path / "another.csv", signal_mv(seed=1))
    for path in wfdb:
        shutil.copy(path, tmp_path)
    settings = ServeSettings(model="lamae-cpu.ptbxl", reference=tmp_path)
    client = client_of(lambda: open_examiner(settings))
    assert client.get("/api/model").json()["classes"] == []
    parts = {"parts": ["leads", "deviation", "similar", "report"]}
    found = client.post("/api/predict", files=sent(wfdb), params=parts).json()
    assert found["classes"] == [] and found["deviation"]["unit"] == "mV"
    assert "no probabilities" in found["unavailable"]["leads"]
    assert wfdb[0].name in found["similar"]["recordings"][0]["name"]
    assert found["similar"]["recordings"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert "names no class" in found["report"]


def test_what_cannot_be_read_is_refused_with_its_reason_and_without_a_path(
    client: Any, wfdb: list[Path]
) -> None:
    refused = {
        "no known format": [("x.bin", b"nothing")],
        "the .hea file with it": [("x.dat", bytes(2000))],
        "one recording": [("x.bin", b"nothing"), ("y.bin", b"nothing")],
        "the first no dot": [("..", b"nothing")],
        "a recording": [("x.csv", b"")],
    }
    for reason, files in refused.items():
        answer = client.post("/api/predict", files=[("file", each) for each in files])
        assert answer.status_code == 422, answer.text
        assert reason in answer.json()["error"]
        assert tempfile.gettempdir() not in answer.text
    alone = client.post("/api/predict", files=sent(wfdb[:1]))
    assert alone.status_code == 422 and wfdb[1].name in alone.json()["error"]
    for body in (
        b"",
        b"[",
        b"{}",
        b"[" * 100_000,
        b'{"samples": [[1, 2], [1]], "sampling_rate": 9}',
    ):
        headers = {"content-type": "application/json"}
        answer = client.post("/api/predict", content=body, headers=headers)
        assert answer.status_code == 422 and answer.json()["error"]
    assert client.post("/api/predict?parts=soul", files=sent(wfdb)).status_code == 422
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "multipart/form-data"}):
        assert client.post("/api/predict", content=b"x", headers=headers).status_code == 422


def test_a_body_that_is_too_large_is_refused(client: Any) -> None:
    answer = client.post("/api/predict", files=[("file", ("x.csv", bytes(MAX_BYTES + 1)))])
    assert answer.status_code == 413
    assert "16 MB" in answer.json()["error"]


def test_the_schema_describes_both_bodies_and_every_field(client: Any) -> None:
    schema = client.get("/openapi.json").json()
    body = schema["paths"]["/api/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    answer = schema["components"]["schemas"]["Answered"]["properties"]
    assert set(answer) >= {"classes", "recording", "cautions", "notice"}
    assert all("description" in field or "$ref" in field for field in answer.values())


def test_nine_at_once_are_answered_and_others_asked_to_come_again() -> None:
    slow = Slow()
    client = client_of(lambda: slow)
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(client.post, "/api/predict", json=[1]) for _ in range(12)]
        first = [each.result() for each in islice(as_completed(asked), 3)]
        assert {answer.status_code for answer in first} == {503}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in first)
        slow.may.set()
        codes = Counter(each.result().status_code for each in asked)
    assert codes == {200: 9, 503: 3}
    assert client.post("/api/predict", json=[1]).status_code == 200


def test_a_late_answer_is_given_up_and_an_error_names_no_patient(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slow = Slow()
    client = client_of(lambda: slow, deadline_s=0.2)
    assert client.post("/api/predict", json=[1]).status_code == 504
    slow.may.set()
    answer = client.post("/api/predict", json={})
    assert answer.status_code == 500 and "ZeroDivisionError" in answer.json()["error"]
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said and "patient" not in said + answer.text


def test_before_the_model_is_open_requests_are_asked_to_come_again() -> None:
    worker: Worker[Slow] = Worker(Slow)
    app = make_app(worker, ServeSettings(model="x"))
    client = TestClient(app, base_url="http://localhost")
    assert client.get("/healthz").json() == {"status": "starting"}
    for answer in (client.get("/api/model"), client.post("/api/predict", json=[])):
        assert answer.status_code == 503 and answer.headers["retry-after"]


def test_nothing_of_a_recording_stays_on_disk_or_in_logs(
    client: Any, wfdb: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for files in (sent(wfdb), sent(wfdb[:1]), [("file", ("secret.csv", b"secret"))]):
        client.post("/api/predict", files=files)
        assert not list(tmp_path.iterdir())
    assert not any(name in caplog.text for name in (wfdb[0].stem, "secret"))

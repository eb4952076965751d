"""The server from its start to Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
import pytest
import uvicorn

from finetune.serving.app import make_app
from finetune.serving.examination import Examiner, open_examiner
from finetune.serving.run import serve
from finetune.serving.settings import ServeSettings
from finetune.serving.worker import Worker
from lamae.errors import InputError
from tests.test_finetune_serving_app import sent, served_model

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wfdb(recordings: Path) -> list[Path]:
    header = sorted(recordings.rglob("*.hea"))[0]
    return [header, header.with_suffix(".dat")]


class Running:
    """A server in a thread, on a port of its own."""

    def __init__(self, settings: ServeSettings, folder: Path) -> None:
        self.worker: Worker[Examiner] = Worker(lambda: open_examiner(settings))
        config = uvicorn.Config(
            make_app(self.worker, settings), port=0, log_config=None, lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self.address = ""

    def __enter__(self) -> "Running":
        self.worker.start()
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        assert self.worker.opened.wait(120) and self.worker.failure is None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        assert self.worker.stop(patience_s=60.0)

    def predict(self, paths: Collection[Path]) -> dict[str, Any]:
        answer = httpx2.post(f"{self.address}/api/predict", files=sent(paths), timeout=60)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def test_a_port_that_is_taken_and_a_model_that_is_not_there_are_named() -> None:
    with pytest.raises(InputError, match="no-such-model"):
        list(serve(ServeSettings(model="no-such-model", port=0)))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match="Give another port="):
            list(serve(ServeSettings(model="any", port=port)))


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = ["serve", f"model={served_model()}", "port=0"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-u", str(ROOT / "finetune" / "main.py"), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as running:  # type: ignore[call-overload]
        yield running
        running.kill()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["opening", "ready"])
def test_the_start_is_said_and_ctrl_c_ends_it_in_a_line(
    program: subprocess.Popen[str], wfdb: list[Path], tmp_path: Path, when: str
) -> None:
    assert program.stdout is not None and program.stderr is not None
    assert "http://127.0.0.1:" in program.stdout.readline()
    if when == "ready":
        line = program.stdout.readline()
        address = line.split()[1]
        answer = httpx2.post(f"{address}/api/predict", files=sent(wfdb), timeout=60)
        assert json.loads(answer.text)["model"] == "probe"
    program.send_signal(signal.SIGINT)
    assert program.wait(60) == 130
    assert program.stderr.read().strip() == "The page is closed."
    assert not list(tmp_path.iterdir())

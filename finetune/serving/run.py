"""The server: its start is said, and Ctrl-C ends it at once."""

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

import uvicorn

from finetune.serving.app import make_app
from finetune.serving.settings import ServeSettings
from finetune.serving.worker import Worker
from lamae.errors import InputError

if TYPE_CHECKING:
    from finetune.serving.examination import Examiner

_CLOSED = "The page is closed."
_PATIENCE_S = 0.5
_MOST_CONNECTIONS = 100
_SHARED_MEMORY, _ROOM_BYTES = Path("/dev/shm"), 2**28


def serve(settings: ServeSettings) -> Iterator[str]:
    """Answer until the program is interrupted; yields lines for the terminal.

    Raises InputError where the address is taken, or the model cannot be opened.
    """
    listening = _listen(settings)
    address = _address(settings, listening)
    worker: Worker[Examiner] = Worker(lambda: _open(settings))
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(worker, settings),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=0,
        )
    )
    thread = threading.Thread(target=server.run, args=([listening],), name="server", daemon=True)
    with _private(), _ended_by_signals():
        try:
            worker.start()
            thread.start()
            yield f"Opening {settings.model}; the page will be at {address}"
            worker.opened.wait()
            if worker.failure is not None:
                raise worker.failure
            yield f"Ready: {address}   (Ctrl-C ends it)"
            thread.join()
        finally:
            server.should_exit = True
            thread.join()
            worker.stop(patience_s=_PATIENCE_S)


def _open(settings: ServeSettings) -> "Examiner":
    """Open the models, in the worker's thread: torch is imported here."""
    from finetune.serving.examination import open_examiner

    return open_examiner(settings)


def _listen(settings: ServeSettings) -> socket.socket:
    """Listen at the address; raises InputError where that cannot be."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise InputError(
            f"address {settings.host}:{settings.port}",
            value=error.strerror or str(error),
            expected="an address of this machine and a free port",
            remedy="Give another port=, or 0 for any that is free.",
        ) from None
    return listening


def _address(settings: ServeSettings, listening: socket.socket) -> str:
    """Return the address of the page, with the token where there is one."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    token = f"/#token={quote(settings.token, safe='')}" if settings.token else ""
    return f"http://{host}:{listening.getsockname()[1]}{token}"


@contextmanager
def _private() -> Iterator[None]:
    """Keep recordings out of logs, and their files in one folder, in memory where there is room."""
    logging.disable(logging.CRITICAL)
    before = tempfile.tempdir
    has_room = _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free > _ROOM_BYTES
    place = str(_SHARED_MEMORY) if has_room and os.access(_SHARED_MEMORY, os.W_OK) else None
    with warnings.catch_warnings(), tempfile.TemporaryDirectory("", "lamae-", place) as folder:
        warnings.simplefilter("ignore")
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
            logging.disable(logging.NOTSET)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the program, also while the terminal is written to."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _end_at_once) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """End the program in the middle of its work, which nothing else interrupts; no file stays."""
    shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)
    sys.stdout.flush()
    sys.stderr.write(f"\n{_CLOSED}\n")
    sys.stderr.flush()
    os._exit(130)

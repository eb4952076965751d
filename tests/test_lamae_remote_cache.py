"""A cache over a server that is slow, breaks off, answers errors and sends wrong bytes."""

import hashlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lamae.errors import InputError, PlaceError
from lamae.remote import attempts, cache
from lamae.remote.cache import Cache
from lamae.remote.cache_folder import Content

ROOT = Path(__file__).resolve().parents[1]
Behaviour = Callable[[str, int], str]


class Server:
    """Files of a folder by HTTP; `behaves(name, n)` says how the n-th request for one goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = Counter[str]()
        self.behaves: Behaviour = lambda name, number: "well"
        self.bytes_per_s: float | None = None
        self.allowed = threading.Event()
        self.allowed.set()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/shards"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer with the whole file, whatever range was asked for, or as `behaves` says."""
        name = request.path.rpartition("/")[2]
        with self._lock:
            self.asked[name] += 1
            number = self.asked[name]
        how, path = self.behaves(name, number), self.folder / name
        if how.isdecimal() or not path.is_file():
            request.send_error(int(how) if how.isdecimal() else 404)
            return
        content = bytearray(path.read_bytes())
        cut = len(content)
        if how == "wrong":
            content[hash((name, number)) % len(content)] ^= 1
        if how == "endless":
            content *= 50
        if how == "break":
            cut = int(np.random.default_rng([number, len(content)]).integers(len(content)))
        if how == "short":
            content, cut = content[: len(content) // 2], len(content) // 2
        request.send_response(200)
        if how != "endless":
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        self._send(request, bytes(content[:cut] if how == "break" else content))
        request.close_connection = True

    def _send(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        step = len(content) if self.bytes_per_s is None else 16_384
        try:
            for first in range(0, len(content), max(step, 1)):
                self.allowed.wait()
                request.wfile.write(content[first : first + step])
                if self.bytes_per_s is not None:
                    time.sleep(step / self.bytes_per_s)
        except (BrokenPipeError, ConnectionResetError):
            pass


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.allowed.set()
        server.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "DELAYS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(attempts, "LONGEST_DELAY_S", 0.02)
    monkeypatch.setattr(cache, "WRONG_BYTES_DELAYS_S", (0.0, 0.0, 0.0, 0.0))


def write_files(folder: Path, count: int, size: int = 50_000) -> list[Content]:
    """Write files of random bytes; no two have the same."""
    folder.mkdir(parents=True)
    found = []
    for number in range(count):
        content = np.random.default_rng(number).bytes(size)
        (folder / f"{number}.tar").write_bytes(content)
        found.append(Content(f"{number}.tar", size, hashlib.sha256(content).hexdigest()))
    return found


@pytest.fixture
def files(tmp_path: Path) -> list[Content]:
    return write_files(tmp_path / "shards", 8)


@pytest.fixture
def server(files: list[Content], tmp_path: Path) -> Iterator[Server]:
    with served(tmp_path / "shards") as running:
        yield running


def kept(folder: Path) -> dict[str, int]:
    """Return the bytes of each finished file."""
    return {path.name: path.stat().st_size for path in folder.iterdir() if len(path.name) == 64}


def until(holds: Callable[[], object], deadline_s: float = 60) -> None:
    deadline = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < deadline, f"did not come to hold within {deadline_s} s"
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["break", "wrong", "short", "500", "503", "429", "endless"])
def test_files_come_whole_and_right_whatever_a_server_does_at_first(
    server: Server, files: list[Content], tmp_path: Path, how: str
) -> None:
    server.behaves = lambda name, number: how if number < 3 else "well"
    made = Cache(server.url, tmp_path / "cache")
    for file in files:
        with made.open(file) as opened:
            assert opened.read() == (tmp_path / "shards" / file.name).read_bytes()
    assert server.asked == {file.name: 3 for file in files}
    assert kept(tmp_path / "cache") == {file.sha256: file.bytes for file in files}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("404", "missing"),
        ("wrong", "SHA-256 .* instead of"),
        ("short", "25000 bytes"),
        ("endless", "more than 50000 bytes"),
    ],
)
def test_what_a_store_lacks_or_has_wrong_is_refused_as_damaged_and_asked_for_no_more(
    server: Server, files: list[Content], tmp_path: Path, how: str, message: str
) -> None:
    server.behaves = lambda name, number: how if name == "3.tar" else "well"
    made = Cache(server.url, tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(InputError, match=rf"{server.url}/3\.tar: {message}"):
            made.open(files[3])
    assert server.asked["3.tar"] == (1 if how == "404" else 5)
    made.open(files[2]).close()
    assert kept(tmp_path / "cache") == {files[2].sha256: files[2].bytes}


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_store_that_refuses_ends_what_needs_it_at_once(
    server: Server, files: list[Content], tmp_path: Path, status: str
) -> None:
    server.behaves = lambda name, number: status
    with pytest.raises(PlaceError, match=rf"{status}.* expected access to it"):
        Cache(server.url, tmp_path / "cache").open(files[0])
    assert server.asked["0.tar"] == 1


def test_a_store_that_goes_away_is_waited_for_and_then_named(
    server: Server,
    files: list[Content],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.behaves = lambda name, number: "503" if number < 9 else "well"
    with caplog.at_level(logging.WARNING):
        Cache(server.url, tmp_path / "cache").open(files[0]).close()
    assert "0.tar" in caplog.text and "tries again" in caplog.text
    server.close()
    monkeypatch.setattr(cache, "PATIENCE_S", 0.5)
    made = Cache(server.url, tmp_path / "cache")
    started = time.monotonic()
    with pytest.raises(PlaceError, match=r"1\.tar: .* an answer of the store, .* for 0\.5 s"):
        made.open(files[1])
    assert time.monotonic() - started >= 0.5
    made.open(files[0]).close()  # what is here stays of use


def test_a_file_is_fetched_once_by_threads_that_ask_for_it_together(
    server: Server, files: list[Content], tmp_path: Path
) -> None:
    server.bytes_per_s = 200_000
    made = [Cache(server.url, tmp_path / "cache") for _ in range(3)]
    contents = []

    def read(one: Cache) -> None:
        for file in files[:3]:
            with one.open(file) as opened:
                contents.append(opened.read())

    threads = [threading.Thread(target=read, args=(one,)) for one in made for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == {file.name: 1 for file in files[:3]}
    assert len(contents) == 18 and len(set(contents)) == 3


def test_what_is_expected_comes_in_its_order_before_it_is_asked_for(
    server: Server, files: list[Content], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_CONNECTIONS", 1)
    order: list[str] = []
    server.behaves = lambda name, number: order.append(name) or "well"  # type: ignore[func-returns-value]
    made = Cache(server.url, tmp_path / "cache")
    expected = [files[number] for number in (5, 2, 7, 0, 2)]
    made.expect(expected)
    until(lambda: len(kept(tmp_path / "cache")) == 4)
    assert order == ["5.tar", "2.tar", "7.tar", "0.tar"]
    server.close()
    for file in expected:
        made.open(file).close()


def test_expecting_more_than_half_of_the_limit_fetches_half_of_it(
    server: Server, files: list[Content], tmp_path: Path
) -> None:
    made = Cache(server.url, tmp_path / "cache", max_gb=200_000 / 1e9)
    made.expect(files)
    until(lambda: len(kept(tmp_path / "cache")) == 2)
    until(lambda: not [each for each in threading.enumerate() if each.name == "fetch"])
    assert server.asked == {"0.tar": 1, "1.tar": 1}


def test_fetching_ahead_leaves_errors_to_those_who_read(
    server: Server, files: list[Content], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "PATIENCE_S", 0.2)
    server.behaves = lambda name, number: "404" if name == "0.tar" else "500"
    made = Cache(server.url, tmp_path / "cache")
    made.expect(files[:2])
    until(lambda: not [each for each in threading.enumerate() if each.name == "fetch"])
    with pytest.raises(InputError, match="missing"):
        made.open(files[0])
    with pytest.raises(PlaceError, match="500"):
        made.open(files[1])
    assert server.asked["0.tar"] == 1


def test_the_default_cache_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.default_folder() == Path("/elsewhere/lamae/shards")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_folder() == Path.home() / ".cache" / "lamae" / "shards"

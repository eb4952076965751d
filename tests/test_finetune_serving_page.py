"""The page in a browser: a recording is dropped, its table read, its report kept."""

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from finetune.serving.settings import ServeSettings
from tests.test_finetune_serving_app import served_model
from tests.test_finetune_serving_run import Running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not installed"),
]


class Tab:
    """A tab of a headless Chromium, steered by its DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self.events.append(said)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        message = {"id": self._number, "method": method, "params": parameters}
        await self._socket.send_json(message)
        said = await asyncio.wait_for(answer, 60)
        assert "error" not in said, f"{method}: {said['error']}"
        return dict(said["result"])

    async def value(self, expression: str) -> Any:
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        found = await self.send("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        for _ in range(600):
            if await self.value(f"document.readyState == 'complete' && ({expression})"):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never: {expression}; {await self.value('document.body.innerText')}")

    async def drop(self, *files: Path) -> None:
        root = (await self.send("DOM.getDocument"))["root"]["nodeId"]
        node = await self.send("DOM.querySelector", nodeId=root, selector="#file")
        names = [str(file) for file in files]
        await self.send("DOM.setFileInputFiles", files=names, nodeId=node["nodeId"])

    @property
    def hosts(self) -> set[str]:
        """Addresses that the tab asked for, but for those that contact nobody."""
        sent = [e["params"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        urls = [each["request"]["url"] for each in sent]
        return {"/".join(u.split("/")[:3]) for u in urls if not u.startswith(("data:", "blob:"))}

    @property
    def complaints(self) -> list[str]:
        """Errors of scripts, and what the policy of the page has forbidden."""
        wanted = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in wanted]


@contextlib.asynccontextmanager
async def tab_at(address: str, folder: Path, *, dark: bool = False) -> AsyncIterator[Tab]:
    profile = folder / "profile"
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file = profile / "DevToolsActivePort"
        for _ in range(600):
            if port_file.is_file() and port_file.read_text().count("\n"):
                break
            await asyncio.sleep(0.1)
        place = f"http://127.0.0.1:{port_file.read_text().splitlines()[0]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{place}/json/list") as answer:
                pages = [each for each in await answer.json() if each["type"] == "page"]
            where = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(where, max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "DOM", "Network", "Log"):
                    await tab.send(f"{domain}.enable")
                scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
                await tab.send("Emulation.setEmulatedMedia", features=[scheme])
                downloads = {"behavior": "allow", "downloadPath": str(folder)}
                await tab.send("Browser.setDownloadBehavior", **downloads)
                await tab.send("Page.navigate", url=address)
                yield tab
    finally:
        browser.terminate()
        browser.wait()


def in_browser(
    work: Callable[[Tab], Awaitable[None]], address: str, folder: Path, **how: Any
) -> None:
    async def run() -> None:
        async with tab_at(address, folder, **how) as tab:
            await work(tab)

    asyncio.run(run())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = ServeSettings(model=str(served_model()), detector="lamae-cpu.ptbxl", port=0)
    with Running(settings, tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")
def wfdb(recordings: Path) -> tuple[Path, Path]:
    header = sorted(recordings.rglob("*.hea"))[0]
    return header, header.with_suffix(".dat")


def test_a_person_drops_a_recording_reads_the_table_and_keeps_the_report(
    running: Running, wfdb: tuple[Path, Path], tmp_path: Path
) -> None:
    by_program = running.predict(wfdb)

    async def work(tab: Tab) -> None:
        await tab.until("document.body.classList.contains('ready')")
        await tab.drop(*wfdb)
        await tab.until("!document.getElementById('result').hidden")
        rows = await tab.value(
            "[...document.querySelectorAll('table.metric tbody tr')].map(row => "
            "[row.querySelector('th').textContent, "
            "row.querySelector('[data-label=Probability]').textContent])"
        )
        shown = {one["name"]: f"{one['probability']:.3f}" for one in by_program["classes"]}
        assert dict(rows) == shown
        text = await tab.value("document.body.innerText")
        assert "not a medical device" in text
        assert "Einthoven" in text
        assert await tab.value("document.querySelectorAll('svg.ecg').length") == 3
        fills = "[...document.querySelectorAll('path.trace')].map(it => getComputedStyle(it).fill)"
        assert set(await tab.value(fills)) == {"none"}
        await tab.value("document.getElementById('keep-report').click()")
        report = tmp_path / f"lamae-{wfdb[0].name}.html"
        for _ in range(100):
            if report.is_file():
                break
            await asyncio.sleep(0.1)
        page = report.read_text()
        assert all(f"<td>{value}</td>" in page for value in shown.values())
        assert "not a medical device" in page
        assert "<script" not in page
        assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
        assert not tab.complaints
        assert tab.hosts == {running.address}, "the page contacts another host"

    in_browser(work, running.address, tmp_path)


def test_the_page_fits_a_phone_and_is_used_by_the_keyboard(
    running: Running, wfdb: tuple[Path, Path], tmp_path: Path
) -> None:
    async def work(tab: Tab) -> None:
        size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        await tab.send("Emulation.setDeviceMetricsOverride", **size)
        await tab.until("document.body.classList.contains('ready')")
        key = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
        await tab.send("Input.dispatchKeyEvent", type="keyDown", **key)
        assert await tab.value("document.activeElement.id") == "file"
        await tab.drop(*wfdb)
        await tab.until("!document.getElementById('result').hidden")
        assert await tab.value("document.activeElement.id") == "result"
        assert await tab.value("document.documentElement.scrollWidth") <= 390
        unnamed = await tab.value(
            "[...document.querySelectorAll('button, input, select, [role=img], [role=group]')]"
            ".filter(it => !(it.textContent || it.ariaLabel || it.labels?.length)).length"
        )
        assert unnamed == 0

    in_browser(work, running.address, tmp_path)


def test_what_a_file_says_is_text_and_never_markup(running: Running, tmp_path: Path) -> None:
    evil = tmp_path / "<img src=x onerror=alert(1)>.csv"
    evil.write_text("nothing of use")

    async def work(tab: Tab) -> None:
        await tab.until("document.body.classList.contains('ready')")
        await tab.drop(evil)
        await tab.until("document.getElementById('status').className == 'wrong'")
        assert await tab.value("document.querySelectorAll('img').length") == 0
        assert "onerror" in await tab.value("document.getElementById('status').textContent")

    in_browser(work, running.address, tmp_path)


def test_a_token_comes_with_the_address_or_is_asked_for(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = ServeSettings(model=str(served_model()), port=0, token="a-long+and=good/secret")

    async def with_it(tab: Tab) -> None:
        await tab.until("document.body.classList.contains('ready')")
        assert "secret" not in await tab.value("location.href"), "it stays in the history"

    async def without(tab: Tab) -> None:
        await tab.until("document.getElementById('headline').textContent.includes('token')")
        await tab.value("document.getElementById('token').value = 'a-long+and=good/secret'")
        await tab.value("document.getElementById('bring').click()")
        await tab.until("document.body.classList.contains('ready')")

    with Running(settings, tmp_path_factory.mktemp("guarded")) as running:
        in_browser(
            with_it, f"{running.address}/#token=a-long%2Band%3Dgood%2Fsecret", tmp_path / "with"
        )
        in_browser(without, running.address, tmp_path / "without")

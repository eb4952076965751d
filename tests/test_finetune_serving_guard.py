"""The door of the server: own hosts and pages only, a token, headers that keep nothing."""

from pathlib import Path
from typing import Any

import pytest

from finetune.serving.settings import ServeSettings
from lamae.config import ConfigError, load_settings
from tests.test_finetune_serving_app import Slow, client_of

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "a-secret-of-some-letters"


@pytest.fixture(scope="module")
def client() -> Any:
    return client_of(Slow)


def test_only_its_own_pages_and_names_are_let_in(client: Any) -> None:
    ok = ["127.0.0.1:8400", "localhost:9000", "[::1]:8400", "LOCALHOST"]
    assert {client.get("/healthz", headers={"host": host}).status_code for host in ok} == {200}
    foreign = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8400", "", "[::"]
    for host in foreign:
        assert client.get("/", headers={"host": host}).status_code == 421
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9", "https://127.0.0.1:8400"):
        headers = {"origin": origin}
        assert client.post("/api/predict", headers=headers, content=b"").status_code == 403
    own = {"origin": "http://127.0.0.1:8400"}
    assert client.get("/api/model", headers=own).status_code == 200
    cross = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/api/model", headers=cross).status_code == 403
    assert client.get("/", headers=cross | {"sec-fetch-mode": "navigate"}).status_code == 200


def test_a_token_is_asked_for_and_others_are_let_in_with_it_alone() -> None:
    with pytest.raises(ConfigError, match="lets other machines in"):
        load_settings(ServeSettings, ["model=x", "host=0.0.0.0"])
    with pytest.raises(ConfigError, match="16 characters"):
        load_settings(ServeSettings, ["model=x", "token=short"])
    assert ServeSettings(model="x").host == "127.0.0.1"
    client = client_of(Slow, host="0.0.0.0", token=TOKEN)
    given = [{}, {"authorization": "Bearer another-one"}, {"authorization": TOKEN}]
    assert {client.get("/api/model", headers=each).status_code for each in given} == {401}
    with_token = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/model", headers=with_token).status_code == 200
    assert client.get("/", headers={"host": "192.0.2.7:8400"}).status_code == 200
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421


def test_every_answer_is_kept_by_nobody_and_loads_nothing_from_elsewhere(client: Any) -> None:
    for path in ("/", "/page.js", "/style.css", "/openapi.json", "/api/model", "/nowhere"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/docs").status_code == 404
    for name in ("index.html", "page.css", "page.js", "paper.css"):
        text = (ROOT / "finetune" / "serving" / "page" / name).read_text()
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")

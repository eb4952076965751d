"""A small Hub on this machine, as huggingface_hub asks it: commits, branches, tags, files."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = "clinic/tiny-encoder"
LARGE = ("safetensors", "parquet", "tar")
API = rf"/api/(?:models|datasets)/{REPOSITORY}"
Tree = dict[str, bytes]


class Hub:
    """Repositories as the Hub keeps them: commits, branches and tags."""

    def __init__(self) -> None:
        self.commits: dict[str, Tree] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.stored: Tree = {}
        self.requests: list[str] = []
        self.agents: set[str] = set()
        self.exists = False

    def commit(self, tree: Tree) -> str:
        """Add a commit to the main branch, and return its hash."""
        names = json.dumps({name: _sha256(content) for name, content in sorted(tree.items())})
        digest = hashlib.sha1((names + str(len(self.commits))).encode()).hexdigest()
        self.commits[digest], self.branches["main"] = dict(tree), digest
        return digest

    def resolve(self, revision: str) -> str | None:
        known = {**self.branches, **self.tags}.get(revision, revision)
        return known if known in self.commits else None

    @property
    def main(self) -> Tree:
        return self.commits[self.branches["main"]]


class Answer(BaseHTTPRequestHandler):
    """One request of huggingface_hub."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._note()
        if match := re.fullmatch(rf"{API}/refs.*", self.path):
            refs = {
                kind: [{"name": n, "ref": f"refs/{n}", "targetCommit": c} for n, c in all_.items()]
                for kind, all_ in (("branches", self.hub.branches), ("tags", self.hub.tags))
            }
            return self._json(refs | {"converts": []})
        if match := re.fullmatch(rf"{API}(?:/revision/([^/?]+))?", self.path):
            return self._revision(match[1] or "main")
        if match := re.match(rf"{API}/tree/([^/?]+)/?([^?]*)", self.path):
            return self._tree(match[1], match[2], deep="recursive=false" not in self.path)
        if match := re.fullmatch(rf"/(?:datasets/)?{REPOSITORY}/resolve/([^/]+)/(.+)", self.path):
            return self._file(match[1], match[2])
        return self._json({"error": "Repository not found"}, 404, "RepoNotFound")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self._note()
        body = self._body()
        if self.path == "/api/repos/create":
            self.hub.exists = True
            if not self.hub.branches:
                self.hub.commit({})
            return self._json({"url": f"{self._own()}/{REPOSITORY}", "name": REPOSITORY})
        if self.path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if re.match(rf"{API}/preupload/", self.path):
            files = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                one | {"actions": {"upload": {"href": f"{self._own()}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects})
        if re.match(rf"{API}/commit/", self.path):
            return self._commit(body)
        if match := re.match(rf"{API}/paths-info/([^/?]+)", self.path):
            return self._paths(match[1], body)
        if match := re.match(rf"{API}/tag/([^/?]+)", self.path):
            at = self.hub.resolve(match[1])
            assert at
            self.hub.tags[json.loads(body)["tag"]] = at
            return self._json({})
        return self._json({"error": "no such page"}, 404)

    def do_PUT(self) -> None:
        self._note()
        content = self._body()
        self.hub.stored[self.path.rpartition("/")[2]] = content
        self._json({})

    def _commit(self, body: bytes) -> None:
        tree = dict(self.hub.main)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                tree[value["path"]] = self.hub.stored[value["oid"]]
        digest = self.hub.commit(tree)
        url = f"{self._own()}/{REPOSITORY}/commit/{digest}"
        self._json({"success": True, "commitOid": digest, "commitUrl": url, "hookOutput": ""})

    def _revision(self, revision: str) -> None:
        digest = self.hub.resolve(revision) if self.hub.exists else None
        if digest is None:
            return self._json({"error": "Revision not found"}, 404, "RevisionNotFound")
        files = [{"rfilename": name} for name in self.hub.commits[digest]]
        return self._json({"id": REPOSITORY, "sha": digest, "siblings": files, "tags": []})

    def _tree(self, revision: str, folder: str, *, deep: bool) -> None:
        tree = self.hub.commits[self.hub.resolve(revision) or ""]
        start = f"{folder}/" if folder else ""
        inside = {n: c for n, c in tree.items() if n.startswith(start)}
        if folder and not inside:
            return self._json({"error": "Entry not found"}, 404, "EntryNotFound")
        names = {n.removeprefix(start) for n in inside}
        found = [
            _entry(f"{start}{n}", inside[f"{start}{n}"]) for n in names if deep or "/" not in n
        ]
        below = {n.partition("/")[0] for n in names if "/" in n}
        found += [{"type": "directory", "path": start + n, "oid": "0", "size": 0} for n in below]
        return self._json(found)

    def _paths(self, revision: str, body: bytes) -> None:
        tree = self.hub.commits[self.hub.resolve(revision) or ""]
        wanted = json.loads(body)["paths"] if body.startswith(b"{") else _form(body)
        self._json([_entry(name, tree[name]) for name in wanted if name in tree])

    def _file(self, revision: str, name: str) -> None:
        digest = self.hub.resolve(revision)
        content = self.hub.commits[digest or ""].get(name)
        if content is None:
            return self._json({"error": "Entry not found"}, 404, "EntryNotFound")
        etag, part = (
            _sha256(content),
            re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or ""),
        )
        self.send_response(206 if part else 200)
        if part:
            first, last = int(part[1]), int(part[2] or len(content) - 1)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        self.send_header("X-Repo-Commit", str(digest))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
        return None

    def _json(self, content: Any, status: int = 200, code: str | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        """Read a body of a stated length, or one in chunks."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _note(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        self.hub.agents.add(self.headers.get("User-Agent", ""))

    def _own(self) -> str:
        return f"http://{self.headers['Host']}"

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return {"type": "file", "path": name, "size": len(content), "oid": oid}


def _form(body: bytes) -> list[str]:
    return [part.partition(b"=")[2].decode() for part in body.split(b"&") if b"paths=" in part]


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Serve a Hub on loopback, and give its address."""
    handler = type("Handler", (Answer,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hub_of_a_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve a Hub on loopback, which the environment names as the only one: for a fixture."""
    import huggingface_hub.constants as constants

    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    found = Hub()
    with serving(found) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield found


def test_a_revision_is_a_branch_a_tag_or_a_commit() -> None:
    hub = Hub()
    first, second = hub.commit({"a": b"1"}), hub.commit({"a": b"2"})
    hub.tags["v1"] = first
    assert [hub.resolve(name) for name in ("main", "v1", first, "v2")] == [
        second,
        first,
        first,
        None,
    ]
    assert hub.main == {"a": b"2"}

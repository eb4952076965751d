"""A manifest describes its own folder, or it is refused."""

import hashlib
import json
from pathlib import Path

import pytest

from lamae.errors import InputError
from lamae.storage.corpus import FORMAT, INDEX, MANIFEST, Corpus, write_index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write an index without rows, and a shard that nobody reads."""
    (tmp_path / "s-0.tar").write_bytes(bytes(10_240))
    write_index(tmp_path / INDEX, [])
    manifest = {"format": FORMAT, "shards": [{"file": "s-0.tar", "bytes": 10_240}]}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    return tmp_path


def set_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


@pytest.mark.parametrize("change", [{"rows": 5}, {"bytes": 1}, {"sha256": "0" * 64}])
def test_an_index_is_that_of_its_manifest(folder: Path, change: dict[str, object]) -> None:
    content = (folder / INDEX).read_bytes()
    entry = {
        "file": INDEX,
        "rows": 0,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    set_manifest(folder, index=entry)
    assert len(Corpus(folder)) == 0
    set_manifest(folder, index=entry | change)
    with pytest.raises(InputError, match=r"index .*index\.parquet: 0 rows"):
        Corpus(folder)


BAD_MANIFESTS = [
    None,
    "{",
    "[]",
    "[" * 10_000,
    '{"format": "lamae-shards-0"}',
    f'{{"format": "{FORMAT}"}}',
    f'{{"format": "{FORMAT}", "shards": [{{"file": "a.tar"}}]}}',
    f'{{"format": "{FORMAT}", "shards": [], "index": 3}}',
]


@pytest.mark.parametrize("content", BAD_MANIFESTS)
def test_a_folder_that_is_no_corpus_is_refused(folder: Path, content: str | None) -> None:
    (folder / MANIFEST).unlink()
    if content is not None:
        (folder / MANIFEST).write_text(content)
    with pytest.raises(InputError, match=str(folder)):
        Corpus(folder)


ELSEWHERE = (
    "../s-0.tar", "sub/s-0.tar", "{folder}/s-0.tar", "pipe:touch {folder}/ran", "..", ".", "",
    "http://localhost/s-0.tar", "file:s-0.tar", "s-0.tar\n", "s-0.tar\0", "s-0.pkl", "~/s-0.tar",
)  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_manifest_cannot_lead_out_of_its_folder_or_run_anything(folder: Path, name: str) -> None:
    name = name.format(folder=folder)
    (folder / "sub").mkdir()
    size = (folder / "s-0.tar").stat().st_size
    for copy in (folder / "sub" / "s-0.tar", folder.parent / "s-0.tar"):
        copy.write_bytes((folder / "s-0.tar").read_bytes())
    set_manifest(folder, shards=[{"file": name, "bytes": size}])
    with pytest.raises(InputError, match=r"manifest\.json: shards\.0\.file: String should match"):
        Corpus(folder)
    assert not (folder / "ran").exists()

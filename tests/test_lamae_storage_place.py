"""Shards at a URL, or staged: the same recordings to the bit, whatever the server does."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.remote import attempts, cache
from lamae.storage.corpus import INDEX, MANIFEST, Corpus
from lamae.storage.settings import DataSettings
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from tests.conftest import small_build
from tests.test_lamae_remote_cache import Server, kept, served

PREPROCESS = Preprocessor(sampling_rate=50, duration_s=5, band_hz=None)


@pytest.fixture(scope="module")
def shards(recordings: Path) -> Path:
    """Build shards of seven recordings of two thirds of a day's."""
    output = recordings.parent / "shards"
    build_shards(ShardsSettings.model_validate(small_build(recordings, output)))
    return output


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "DELAYS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(cache, "WRONG_BYTES_DELAYS_S", (0.0, 0.0, 0.0, 0.0))


@pytest.fixture
def server(shards: Path) -> Iterator[Server]:
    with served(shards) as running:
        yield running


def batches(corpus: Corpus) -> list[tuple[bytes, tuple[str, ...], tuple[str, ...]]]:
    """Read two shuffled epochs of training in batches of four, damaged recordings replaced."""
    split = Split(corpus, corpus.rows("train"), PREPROCESS, replace_unusable=True)
    walk = np.concatenate([np.random.default_rng(e).permutation(len(split)) for e in range(2)])
    found = [split.batch(walk[first : first + 4]) for first in range(0, len(walk), 4)]
    return [(batch.signal.numpy().tobytes(), batch.keys, batch.damaged) for batch in found]


@pytest.mark.parametrize("how", ["well", "break", "wrong", "500"])
def test_batches_over_a_hostile_server_are_those_of_the_folder(
    server: Server, shards: Path, tmp_path: Path, how: str
) -> None:
    server.behaves = lambda name, number: how if name.endswith(".tar") and number < 3 else "well"
    corpus = Corpus(server.url, cache=tmp_path)
    here = Corpus(shards)
    assert batches(corpus) == batches(here)
    assert corpus.digest == here.digest and len(corpus) == len(here)
    for row in range(len(here)):
        assert corpus.sample(row).record.digital.tobytes() == here.record(row).digital.tobytes()


def test_batches_through_a_cache_that_holds_two_shards_are_those_of_the_folder(
    server: Server, shards: Path, tmp_path: Path
) -> None:
    sizes = {shard["file"]: shard["bytes"] for shard in Corpus(shards).manifest["shards"]}
    limit = 2 * max(sizes.values()) + (shards / INDEX).stat().st_size
    corpus = Corpus(server.url, cache=tmp_path, cache_gb=limit / 1e9)
    assert batches(corpus) == batches(Corpus(shards))
    assert sum(kept(tmp_path).values()) <= limit
    assert max(server.asked.values()) > 1


def test_a_shard_that_a_server_lacks_or_has_wrong_is_damaged_as_one_of_a_folder_is(
    server: Server, shards: Path, tmp_path: Path
) -> None:
    here = shutil.copytree(shards, tmp_path / "damaged")
    content = bytearray((here / "train-000001.tar").read_bytes())
    corpus = Corpus(here)
    codes, names = corpus.shard_codes()
    bad = np.flatnonzero(codes == names.index("train-000001.tar"))
    for offset in corpus._index.numbers("offset")[bad].tolist():
        content[offset + 9] ^= 1
    (here / "train-000001.tar").write_bytes(content)
    expected = batches(Corpus(here))
    assert {key for _, _, damaged in expected for key in damaged} == set(corpus.keys[bad])
    for how in ("404", "wrong", "short"):
        server.behaves = lambda name, number, how=how: how if "-000001" in name else "well"  # type: ignore[misc]
        assert batches(Corpus(server.url, cache=tmp_path / how)) == expected
        corpus = Corpus(server.url, cache=tmp_path / how)
        with pytest.raises(InputError, match=r"train-000001\.tar: .*damaged"):
            corpus.digital([int(bad[0])])


def test_a_shard_that_decays_in_the_cache_is_fetched_again(
    server: Server, shards: Path, tmp_path: Path
) -> None:
    expected = batches(Corpus(shards))
    assert batches(Corpus(server.url, cache=tmp_path)) == expected
    asked = server.asked.total()
    for name in kept(tmp_path):
        content = bytearray((tmp_path / name).read_bytes())
        for place in range(4096, len(content), 512):
            content[place] ^= 1
        (tmp_path / name).write_bytes(content)
    assert batches(Corpus(server.url, cache=tmp_path)) == expected
    used = [shard for shard in Corpus(shards).manifest["shards"] if shard["split"] == "train"]
    assert server.asked.total() == asked + 2 + len(used)  # manifest, index and those shards


def test_another_corpus_at_the_url_is_noticed_and_versions_do_not_mix(
    recordings: Path, tmp_path: Path
) -> None:
    site, cached = tmp_path / "site", tmp_path / "cache"
    build = ShardsSettings.model_validate(small_build(recordings, site))
    build_shards(build)
    with served(site) as server:
        first = Corpus(server.url, cache=cached)
        before, digest = batches(first), first.digest
        shutil.rmtree(site)
        build_shards(build.model_copy(update={"codec": "npy"}))
        second = Corpus(server.url, cache=cached)
        assert second.digest != digest and batches(second) == before
        assert {codec for codec in second._index.categories("codec").names} == {"npy"}
        assert batches(first) == before  # from the cache alone
        with pytest.raises(InputError, match=r"val-000000\.tar: .*damaged"):
            first.record(int(first.rows("val")[0]))


def test_shards_and_index_are_fetched_once_for_all_that_open_them(
    server: Server, tmp_path: Path
) -> None:
    for _ in range(3):
        batches(Corpus(server.url, cache=tmp_path))
    assert server.asked.pop(MANIFEST) == 3
    assert INDEX in server.asked and set(server.asked.values()) == {1}


def test_expected_shards_come_before_they_are_read(server: Server, tmp_path: Path) -> None:
    corpus = Corpus(server.url, cache=tmp_path)
    codes, names = corpus.shard_codes()
    corpus.expect([names.index("val-000000.tar")])
    row = int(corpus.rows("val")[0])
    assert names[codes[row]] == "val-000000.tar"
    corpus.record(row)
    assert server.asked == {MANIFEST: 1, INDEX: 1, "val-000000.tar": 1}


def test_a_folder_is_staged_where_a_cache_is_named_and_read_in_place_where_none_is(
    shards: Path, tmp_path: Path
) -> None:
    far, cached = shutil.copytree(shards, tmp_path / "far off"), tmp_path / "cache"
    staged = Corpus(far, cache=cached)
    assert batches(staged) == batches(Corpus(shards)) and staged.folder == far
    for path in far.glob("train-*.tar"):
        path.write_bytes(bytes(path.stat().st_size))
    again = Corpus(far, cache=cached)
    assert batches(again) == batches(Corpus(shards))  # what has come is not read there again
    (far / "val-000000.tar").unlink()
    with pytest.raises(InputError, match=r"val-000000\.tar: missing"):  # as without a cache
        Corpus(far, cache=cached)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://host/shards", r"shards ftp://host/shards: expected a folder .* s3://"),
        ("s3::http://host", r"a chain of protocols"),
        ("s3://bucket/shards", r"pip install s3fs"),
        ("hf://datasets/no-owner/../x", r"a URL with \.\. in it"),
        ("nowhere", r"shards nowhere: no manifest\.json; .* Check data="),
    ],
)
def test_what_is_no_place_of_shards_is_named_with_a_remedy(location: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Corpus(location)


def test_what_a_server_has_in_place_of_shards_is_named(
    server: Server, shards: Path, tmp_path: Path
) -> None:
    server.behaves = lambda name, number: "404"
    with pytest.raises(InputError, match=rf"shards {server.url}/no: no manifest\.json"):
        Corpus(f"{server.url}/no", cache=tmp_path)
    page = tmp_path / "page"
    page.mkdir()
    (page / MANIFEST).write_text("<html>Sign in</html>")
    with served(page) as other:
        with pytest.raises(InputError, match=r"format .* expected 'lamae-shards-2'. Check data="):
            Corpus(other.url, cache=tmp_path)
        listed = json.loads((shards / MANIFEST).read_text())
        for entry in listed["shards"]:
            entry.pop("sha256")
        (page / MANIFEST).write_text(json.dumps(listed))
        with pytest.raises(InputError, match="bytes and sha256 of the index and of each shard"):
            Corpus(other.url, cache=tmp_path)
        listed = json.loads((shards / MANIFEST).read_text())
        listed["index"]["file"] = "../index.parquet"
        (page / MANIFEST).write_text(json.dumps(listed))
        with pytest.raises(InputError, match=r"index\.parquet"):
            Corpus(other.url, cache=tmp_path)
        listed["shards"][0]["sha256"] = "../escape"
        (page / MANIFEST).write_text(json.dumps(listed))
        with pytest.raises(InputError, match="bytes and sha256"):
            Corpus(other.url, cache=tmp_path)
        other.behaves = lambda name, number: "403"
        with pytest.raises(InputError, match=r"403.*expected access to it"):
            Corpus(other.url, cache=tmp_path)
    with pytest.raises(InputError, match=r"manifest\.json: ClientConnectorError.*network"):
        Corpus(other.url, cache=tmp_path)


def test_a_file_is_named_that_only_a_folder_has(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a URL; expected a folder of this machine"):
        _ = Corpus(server.url, cache=tmp_path).folder


def test_settings_take_folders_and_urls() -> None:
    for data, expected in (("~/shards", Path.home() / "shards"), ("s3://b/x", "s3://b/x")):
        assert DataSettings.model_validate({"data": data}).data == expected
    assert DataSettings(data=Path("x"), cache_gb=2).caching == {"cache": None, "cache_gb": 2.0}

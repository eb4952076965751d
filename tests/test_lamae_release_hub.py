"""A release goes to the Hub and comes from it, through a small Hub of our own on this machine."""

import shutil
from pathlib import Path

import pytest

from finetune.releasing.check import check
from finetune.releasing.settings import CheckSettings, UploadSettings
from finetune.releasing.upload import upload
from lamae.errors import InputError
from lamae.pretrained.opening import from_pretrained
from lamae.release.check import check_release
from lamae.release.place import find_model
from lamae.runs.checksums import write_checksums
from tests.test_lamae_release_hub_server import REPOSITORY, Hub, hub_of_a_test

RELEASE = Path(__file__).parent / "releases" / "format-1" / "encoder"
hub = pytest.fixture(hub_of_a_test)
pytestmark = pytest.mark.filterwarnings(  # huggingface_hub 2.4 of its own upload of a large file
    "ignore:Use 'content=:DeprecationWarning"
)


@pytest.fixture
def uploaded(hub: Hub) -> Hub:
    told = upload(UploadSettings(release=RELEASE, to=f"hf://{REPOSITORY}"))
    assert told == [f"tiny-encoder 1.0.0: hf://{REPOSITORY}@v1.0.0"]
    return hub


def test_a_release_goes_up_whole_under_the_tag_of_its_version(uploaded: Hub) -> None:
    assert uploaded.main == {path.name: path.read_bytes() for path in RELEASE.iterdir()}
    assert uploaded.tags == {"v1.0.0": uploaded.branches["main"]}


def test_it_comes_back_and_is_right(uploaded: Hub) -> None:
    for name in (f"hf://{REPOSITORY}", f"hf://{REPOSITORY}@v1.0.0"):
        folder = find_model(name)
        assert folder.name == uploaded.branches["main"]  # the commit, which a result can record
        assert check_release(folder) == []
        assert "is right" in check(CheckSettings(release=name))[0]
    assert from_pretrained(find_model(f"hf://{REPOSITORY}", revision="v1.0.0")).kind == "encoder"


def test_a_version_is_used_once(uploaded: Hub) -> None:
    before = dict(uploaded.commits)
    with pytest.raises(InputError, match="there already"):
        upload(UploadSettings(release=RELEASE, to=f"hf://{REPOSITORY}"))
    assert uploaded.commits == before


def test_a_card_that_was_edited_on_the_hub_is_kept(uploaded: Hub) -> None:
    uploaded.tags["v0.9.0"] = uploaded.tags.pop("v1.0.0")
    told = upload(UploadSettings(release=RELEASE, to=f"hf://{REPOSITORY}"))
    assert len(told) == 1 and "v1.0.0" in uploaded.tags
    uploaded.commit(uploaded.main | {"README.md": b"edited"})
    uploaded.tags["v1.1.0"] = uploaded.tags.pop("v1.0.0")
    told = upload(UploadSettings(release=RELEASE, to=f"hf://{REPOSITORY}"))
    assert "left as it is" in told[1] and uploaded.main["README.md"] == b"edited"


def test_a_release_that_is_not_right_never_leaves(hub: Hub, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(RELEASE, tmp_path / "release"))
    (copy / "model.pkl").touch()
    with pytest.raises(InputError, match=r"model\.pkl"):
        upload(UploadSettings(release=copy, to=f"hf://{REPOSITORY}"))
    assert hub.requests == []


def test_pickles_and_code_on_the_hub_are_never_downloaded(uploaded: Hub) -> None:
    added = {"pytorch_model.bin": b"x", "modeling.py": b"x", "sub/x.json": b"{}", "x.pkl": b"x"}
    uploaded.commit(uploaded.main | added)
    folder = find_model(f"hf://{REPOSITORY}")
    assert {path.name for path in folder.iterdir()} == {path.name for path in RELEASE.iterdir()}


def test_a_revision_that_moves_is_resolved_anew_and_a_tag_stays(uploaded: Hub) -> None:
    first = find_model(f"hf://{REPOSITORY}")
    uploaded.commit(uploaded.main | {"NOTICE": b"another"})
    assert find_model(f"hf://{REPOSITORY}") != first
    assert find_model(f"hf://{REPOSITORY}@v1.0.0") == first


def test_offline_the_cache_is_enough_and_nothing_is_asked(
    uploaded: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = find_model(f"hf://{REPOSITORY}")
    uploaded.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert find_model(f"hf://{REPOSITORY}") == folder
    with pytest.raises(InputError, match="in the cache"):
        find_model("hf://clinic/another")
    assert uploaded.requests == []


def test_a_local_model_asks_nobody_and_nobody_is_told_of_its_use(uploaded: Hub) -> None:
    uploaded.requests.clear()
    from_pretrained(find_model("lamae-cpu.ptbxl"))
    from_pretrained(find_model(RELEASE))
    assert uploaded.requests == []
    find_model(f"hf://{REPOSITORY}")
    pages = {request.split()[1].split("?")[0] for request in uploaded.requests}
    assert all(page.startswith((f"/api/models/{REPOSITORY}", f"/{REPOSITORY}/")) for page in pages)
    assert not any("torch" in agent or "agent/" in agent for agent in uploaded.agents)


@pytest.mark.parametrize("name", ["clinic/another", f"{REPOSITORY}@v9.9.9"])
def test_what_is_not_there_is_an_error_that_names_it(uploaded: Hub, name: str) -> None:
    with pytest.raises(InputError, match=f"hf://{name}"):
        find_model(f"hf://{name}")


def test_no_server_is_an_error_with_a_remedy(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="HF_TOKEN"):
        upload(UploadSettings(release=RELEASE, to=f"hf://{REPOSITORY}"))
    with pytest.raises(InputError, match="network"):
        find_model(f"hf://{REPOSITORY}")


def test_damage_on_the_way_is_found(uploaded: Hub, tmp_path: Path) -> None:
    weights = bytearray(uploaded.main["model.safetensors"])
    weights[-1] ^= 1
    uploaded.commit(uploaded.main | {"model.safetensors": bytes(weights)})
    folder = find_model(f"hf://{REPOSITORY}")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        from_pretrained(folder)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    write_checksums(copy)
    assert check_release(copy) == []  # the golden vectors find the rest

"""Exports and shards go to a small Hub of our own on this machine, with their licence."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lamae.errors import InputError
from lamae.release.licences import DataLicence
from lamae.storage.corpus import INDEX, MANIFEST, Corpus
from shards.export.run import export
from shards.export.settings import FormatSettings, UploadSettings
from shards.export.upload import upload
from tests.test_lamae_release_hub_server import REPOSITORY, Hub, hub_of_a_test

pytestmark = pytest.mark.filterwarnings(  # huggingface_hub 2.4 of its own upload of a large file
    "ignore:Use 'content=:DeprecationWarning"
)
LICENCE = DataLicence(name="Made up 1.0", license="CC-BY-4.0", citation="Nobody 2026")
TO = f"hf://datasets/{REPOSITORY}"
hub = pytest.fixture(hub_of_a_test)


def exported(shards: Path, output: Path, **changes: Any) -> Path:
    values = {"data": shards, "output": output, "format": "parquet", "data_set": LICENCE}
    export(FormatSettings.model_validate(values | changes))
    return output


def test_an_export_goes_up_whole_in_one_commit(
    hub: Hub, simulated_shards: Path, tmp_path: Path
) -> None:
    folder = exported(simulated_shards, tmp_path / "out")
    (folder / "notes.pkl").touch()
    told = upload(UploadSettings(data=folder, to=TO, may_share=True))
    assert told == [f"out: {TO} at commit {hub.branches['main']}"]
    paths = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pkl"]
    assert hub.main == {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}
    assert any("/api/datasets/" in request for request in hub.requests)


@pytest.mark.slow
def test_what_is_on_the_hub_is_streamed_into_shards_at_one_commit(
    hub: Hub, simulated_shards: Path, tmp_path: Path
) -> None:
    folder = exported(simulated_shards, tmp_path / "out")
    upload(UploadSettings(data=folder, to=TO, may_share=True))
    program = Path(__file__).resolve().parents[1] / "shards" / "main.py"
    places = [f"source={TO}", "source_kind=huggingface", f"output={tmp_path / 'again'}"]
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(  # datasets reads the address of the Hub once, when it is imported
        [sys.executable, program, *places, "workers=1"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"dataset {REPOSITORY} at commit {hub.branches['main']}" in done.stdout
    first, again = Corpus(simulated_shards), Corpus(tmp_path / "again")
    assert set(again.keys) == set(first.keys)
    place = {key: row for row, key in enumerate(again.keys)}
    for row, key in enumerate(first.keys):
        ours, theirs = first.sample(row), again.sample(place[key])
        assert (theirs.record.signal_mv() == ours.record.signal_mv()).all()
        assert (theirs.patient_id, theirs.split) == (ours.patient_id, ours.split)


def test_shards_go_up_with_a_card_made_for_them(hub: Hub, simulated_shards: Path) -> None:
    upload(UploadSettings(data=simulated_shards, to=TO, may_share=True, data_set=LICENCE))
    for name in (MANIFEST, INDEX, "train-000000.tar"):
        assert (name in hub.main) and hub.main[name] == (simulated_shards / name).read_bytes()
    assert yaml.safe_load(hub.main["README.md"].split(b"---")[1])["license"] == "cc-by-4.0"
    assert b'"train-000000.tar"' in hub.main["croissant.json"]
    assert not (simulated_shards / "README.md").exists()


@pytest.mark.parametrize(
    ("licence", "may_share", "expected"),
    [
        (None, True, "no licence in its YAML"),
        (LICENCE, False, "may_share: false"),
        (LICENCE.model_copy(update={"credentialed": True}), True, "credentialed access"),
    ],
)
def test_what_may_not_be_shared_never_leaves(
    licence: DataLicence | None,
    may_share: bool,
    expected: str,
    hub: Hub,
    simulated_shards: Path,
    tmp_path: Path,
) -> None:
    folder = exported(simulated_shards, tmp_path / "out", data_set=licence)
    for data in (folder, simulated_shards):
        settings = UploadSettings(data=data, to=TO, may_share=may_share, data_set=licence)
        with pytest.raises(InputError, match=expected):
            upload(settings)
    assert hub.requests == []


def test_a_folder_or_a_place_of_another_kind_is_refused(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no shards"):
        upload(UploadSettings(data=tmp_path, to=TO, may_share=True))
    with pytest.raises(InputError, match="expected hf://datasets/owner/name"):
        upload(UploadSettings(data=tmp_path, to=f"hf://{REPOSITORY}", may_share=True))
    assert hub.requests == []

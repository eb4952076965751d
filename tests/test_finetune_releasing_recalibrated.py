"""A recalibrated release is released again, and says from what, on whom, and what it changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from finetune.recalibration.run import recalibrate
from finetune.recalibration.settings import RecalibrateSettings
from finetune.releasing.check import check
from finetune.releasing.release import release
from finetune.releasing.settings import CheckSettings, ReleaseSettings
from lamae.errors import InputError
from lamae.files import read_json
from lamae.pretrained.opening import from_pretrained
from lamae.pretrained.pretrained import Pretrained
from lamae.release.derived import RESULTS
from lamae.release.description import ReleaseDescription, read_description
from lamae.runs.checksums import write_checksums
from lamae.runs.run_folder import CONFIG
from lamae.storage.corpus import Corpus

ROOT = Path(__file__).resolve().parents[1]
RELEASES = ROOT / "tests" / "releases"
ORIGIN = RELEASES / "format-1" / "classifier"


def settings(folder: Path, **changes: Any) -> ReleaseSettings:
    values = yaml.safe_load((RELEASES / "tiny.yaml").read_text()) | {
        "license_file": RELEASES / "LICENSE-CC0",
        "name": "tiny-local",
        "model": folder / "local",
        "output": folder / "release",
    }
    return ReleaseSettings.model_validate(values | changes)


@pytest.fixture(scope="module")
def place(simulated_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recalibrate a tiny release, and release what came of it."""
    folder = tmp_path_factory.mktemp("place")
    given = RecalibrateSettings(
        model=str(ORIGIN),
        data=simulated_shards,
        label_set="class",
        output=folder / "local",
        labels_as={"AF": "unheard of"},
        min_positives=5,
        folds=3,
        resamples=50,
    )
    list(recalibrate(given))
    release(settings(folder))
    return folder


@pytest.fixture(scope="module")
def described(place: Path) -> ReleaseDescription:
    found = read_description(place / "release")
    assert found is not None
    return found


def test_check_accepts_it_and_it_says_what_it_comes_from(
    place: Path, described: ReleaseDescription, simulated_shards: Path
) -> None:
    assert check(CheckSettings(release=str(place / "release")))
    found, corpus = described.recalibration, Corpus(simulated_shards)
    origin, opened = read_description(ORIGIN), from_pretrained(ORIGIN, device="cpu")
    assert found is not None and origin is not None
    assert (found.model.name, found.model.version) == (origin.name, origin.version)
    assert found.model.sha256 == opened.checksum
    assert (found.recordings, found.patients) == (len(corpus), len({*corpus.patients}))
    card = (place / "release" / "README.md").read_text()
    assert (
        f"Recalibrated on 96 recordings of 48 patients (labels class), from {origin.name}" in card
    )
    assert opened.checksum in card


def test_its_figures_are_those_before_and_after_on_held_out_patients(
    place: Path, described: ReleaseDescription
) -> None:
    measured = read_json(place / "local" / CONFIG)["about"]["recalibration"]["classes"]
    assert described.recalibration is not None
    for one, output in zip(described.recalibration.classes, described.output.classes, strict=True):
        for key, change in one.changes.items():
            for moment in ("before", "after"):
                assert getattr(change, moment).model_dump() == measured[one.name][key][moment]
        if "sensitivity" in one.changes:
            assert output.sensitivity == one.changes["sensitivity"].after
    fitted = {one.name: bool(one.changes) for one in described.recalibration.classes}
    assert fitted == {"AF": False, "LBBB": True, "sinus": True}


def test_results_and_meanings_are_those_of_the_model_that_it_comes_from(
    place: Path, described: ReleaseDescription
) -> None:
    origin = read_description(ORIGIN)
    assert origin is not None
    assert read_json(place / "release" / RESULTS) == read_json(ORIGIN / RESULTS)
    assert described.results == origin.results and described.training == origin.training
    words = [
        [(one.description, one.codes) for one in each.output.classes]
        for each in (origin, described)
    ]
    assert words[0] == words[1]


def test_it_answers_as_the_folder_that_was_released(place: Path) -> None:
    signal = np.random.default_rng(0).normal(0, 0.3, (12, 1000))
    models = [from_pretrained(place / name, device="cpu") for name in ("local", "release")]
    one, two, before = (
        _probabilities(model, signal) for model in (*models, from_pretrained(ORIGIN, device="cpu"))
    )
    np.testing.assert_allclose(one, two, atol=1e-7)
    assert np.abs(one - before).max() > 1e-3


def test_a_description_that_leaves_the_recalibration_out_is_refused(place: Path) -> None:
    path = place / "release" / "release.json"
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | {"recalibration": None}))
    write_checksums(path.parent)
    with pytest.raises(InputError, match=r"says another thing than .*recalibration"):
        check(CheckSettings(release=str(path.parent)))
    path.write_text(whole)
    write_checksums(path.parent)


def _probabilities(model: Pretrained, signal: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict(signal, sampling_rate=100)["probability"])

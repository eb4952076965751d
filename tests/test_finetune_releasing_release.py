"""A run and its results become a release, whole or not at all; a version is used once."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file, save_file

from finetune.classifiers.export_onnx import export
from finetune.classifiers.settings import ExportSettings
from finetune.releasing.check import check
from finetune.releasing.collect import halved
from finetune.releasing.release import release
from finetune.releasing.settings import CheckSettings, ReleaseSettings
from lamae.config import load_settings
from lamae.errors import InputError
from lamae.pretrained.opening import from_pretrained
from lamae.release.derived import RESULTS
from lamae.release.description import read_description
from lamae.release.distribution import DISTRIBUTION
from lamae.runs.checksums import write_checksums
from lamae.runs.run_folder import CONFIG, STATE, WEIGHTS
from lamae.storage.corpus import Corpus

ROOT = Path(__file__).resolve().parents[1]
FORMAT_1 = ROOT / "tests" / "releases" / "format-1"
TINY = ROOT / "tests" / "releases" / "tiny.yaml"
CONFIGS = sorted((ROOT / "configs" / "release").glob("*.yaml"))
WORDS = {"AF": "atrial fibrillation", "LBBB": "left bundle branch block", "sinus": "sinus rhythm"}
CLASSES = {name: {"description": words} for name, words in WORDS.items()}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Lay out the runs behind the tiny releases as their programs leave them."""
    for kind, run, name in (
        ("encoder", "run", "model"),
        ("classifier", "probe", "classifier"),
        ("detector", "anomaly", "detector"),
    ):
        folder = tmp_path / run / name
        folder.mkdir(parents=True)
        for file in (CONFIG, WEIGHTS, *([STATE] if kind == "encoder" else [])):
            shutil.copy(FORMAT_1 / kind / file, folder)
        write_checksums(folder)
        results = json.loads((FORMAT_1 / kind / RESULTS).read_text())
        summary = results.get("pretraining", results["evaluation"])
        summary["config"]["data"] = "/srv/clinic/simulated_shards"
        summary["command"] = f"python main.py data=/srv/clinic/simulated_shards run_dir=/srv/{run}"
        summary["unusable"] = {"train": {"missing_leads": ["00017_lr"]}, "evaluation": {}}
        (tmp_path / run / "summary.json").write_text(json.dumps(summary))
    return tmp_path


def settings(runs: Path, **changes: Any) -> ReleaseSettings:
    values = yaml.safe_load(TINY.read_text()) | {
        "license_file": ROOT / "tests" / "releases" / "LICENSE-CC0",
        "name": "tiny-classifier",
        "model": runs / "probe",
        "output": runs / "release",
        "classes": CLASSES,
    }
    return ReleaseSettings.model_validate(values | changes)


ENCODER = {"name": "tiny-encoder", "classes": {}}
DETECTOR = {"name": "tiny-detector", "classes": {}}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_config_of_a_release_is_accepted_by_the_command_in_its_first_comment(path: Path) -> None:
    comment = path.read_text().partition("\n")[0]
    assert f"finetune/main.py release {path.relative_to(ROOT)} model=<run>" in comment
    given = load_settings(ReleaseSettings, [str(path), "model=run", "output=folder"])
    assert given.name.startswith("lamae-cpu.ptbxl")


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_of_each_kind_becomes_a_release_that_check_accepts(runs: Path) -> None:
    for changes in (
        ENCODER | {"model": runs / "run", "results": runs / "probe"},
        {"model": runs / "probe" / "classifier"},
        DETECTOR | {"model": runs / "anomaly"},
    ):
        given = settings(runs, output=runs / "releases" / str(changes.get("name")), **changes)
        release(given)
        (told,) = check(CheckSettings(release=str(given.output)))
        assert f"{given.name} 1.0.0 is right" in told


def test_figures_are_those_of_the_run_and_nothing_names_its_machine_or_recordings(
    runs: Path,
) -> None:
    release(settings(runs))
    made = read_description(runs / "release")
    summary = json.loads((runs / "probe" / "summary.json").read_text())
    config = json.loads((runs / "probe" / "classifier" / CONFIG).read_text())
    assert made is not None and made.kind == "classifier"
    for one in made.output.classes:
        measured = summary["per_class"][one.name]
        assert one.threshold == config["thresholds"][one.name]
        assert one.sensitivity and one.sensitivity.model_dump() == measured["sensitivity"]
        assert one.auroc and one.auroc.model_dump() == measured["auroc"]
    assert made.results[0].value.model_dump() == summary["auroc_macro"]
    written = b"".join(content_of(runs / "release").values())
    assert b"/srv" not in written and b"00017_lr" not in written
    assert made.training["command"] == "python main.py data=simulated_shards run_dir=probe"


def test_the_same_release_twice_is_let_be_and_another_content_is_refused(runs: Path) -> None:
    release(settings(runs))
    (runs / "release" / "README.md").write_text("edited")
    before = content_of(runs / "release")
    assert "is there already" in release(settings(runs))[0]
    for changes in ({"changelog": "Another content."}, {"version": "1.1.0"}):
        with pytest.raises(InputError, match=r"tiny-classifier 1\.0\.0.*used once"):
            release(settings(runs, **changes))
    assert content_of(runs / "release") == before
    assert {path.name for path in runs.iterdir()} == {"run", "probe", "anomaly", "release"}


def test_a_folder_of_something_else_is_not_replaced(runs: Path) -> None:
    (runs / "release").mkdir()
    (runs / "release" / "mine").write_text("text")
    with pytest.raises(InputError, match="holds other files"):
        release(settings(runs))
    assert content_of(runs / "release") == {"mine": b"text"}


def test_a_later_version_goes_on_with_name_licence_and_changelog(runs: Path) -> None:
    release(settings(runs))
    later = {"previous": runs / "release", "output": runs / "later", "version": "1.1.0"}
    for wrong, told in (
        ({"version": "1.0.0"}, r"version 1\.0\.0"),
        ({"version": "0.9.0"}, r"version 1\.0\.0"),
        ({"license": "MIT"}, r"licence CC0-1\.0"),
        ({"name": "tiny-other"}, "tiny-classifier"),
        ({"previous": runs / "probe"}, "no release"),
    ):
        with pytest.raises(InputError, match=told):
            release(settings(runs, **later | wrong))
    release(settings(runs, **later, changelog="A second one."))
    made = read_description(runs / "later")
    assert made is not None and [*made.changelog] == ["1.1.0", "1.0.0"]


def test_the_probe_of_another_encoder_is_refused(runs: Path) -> None:
    folder = runs / "run" / "model"
    weights = load_file(folder / WEIGHTS)
    weights["encoder.cls"] = weights["encoder.cls"] + np.float32(1e-3)
    save_file(weights, folder / WEIGHTS)
    write_checksums(folder)
    with pytest.raises(InputError, match="a probe of other weights"):
        release(settings(runs, **ENCODER, model=runs / "run", results=runs / "probe"))


def test_a_release_knows_the_embeddings_of_its_training_and_none_of_a_patient(
    runs: Path, simulated_shards: Path
) -> None:
    """One recording of each of so many patients of the training split, the same at each release."""
    known = {"data": simulated_shards, "distribution_patients": 20}
    release(settings(runs, **known))
    release(settings(runs, **known, output=runs / "again"))
    one, two = content_of(runs / "release"), content_of(runs / "again")
    assert one[DISTRIBUTION] == two[DISTRIBUTION]
    made = read_description(runs / "release")
    assert made is not None and made.output.distribution is not None
    assert made.output.distribution.recordings == 20
    corpus = Corpus(simulated_shards)
    names = {*map(str, corpus.keys), *map(str, corpus.patients)}
    assert not any(name.encode() in content for name in names for content in one.values())
    model = from_pretrained(runs / "release")
    held_out = [model.answer(corpus.record(row)) for row in corpus.rows("val").tolist()]
    assert all(answer.percentile is not None for answer in held_out)
    assert "embeddings of 20 training recordings" in one["README.md"].decode()
    (runs / "release" / DISTRIBUTION).unlink()
    write_checksums(runs / "release")
    with pytest.raises(InputError, match=r"says another thing than .*output\.distribution"):
        check(CheckSettings(release=str(runs / "release")))


def test_shards_that_are_gone_or_of_another_run_make_no_distribution(
    runs: Path, simulated_shards: Path
) -> None:
    with pytest.raises(InputError, match=r"simulated_shards: no such folder.*distribution_pat"):
        release(settings(runs, distribution_patients=20))
    folder = runs / "probe" / "classifier"
    config = json.loads((folder / CONFIG).read_text())
    config["about"]["corpus"] = "0" * 64
    (folder / CONFIG).write_text(json.dumps(config))
    write_checksums(folder)
    with pytest.raises(InputError, match=r"digest .*; expected 0{64}"):
        release(settings(runs, data=simulated_shards, distribution_patients=20))


def test_what_is_incomplete_is_refused_and_leaves_nothing(runs: Path) -> None:
    run = {"model": runs / "run"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"classes": {}}, "AF, LBBB, sinus"),
        ({"classes": CLASSES | {"MI": {"description": "infarction"}}}, "meanings of"),
        (ENCODER | run, "no results"),
        ({"license_file": None}, "licence CC0"),
        ({"citation": "   "}, "section 'Citation'"),
        ({"intended_use": "Of /srv/ann/runs."}, "path of a machine"),
    ]
    for changes, told in cases:
        with pytest.raises(InputError, match=told):
            release(settings(runs, **changes))
    (runs / "probe" / "summary.json").unlink()
    with pytest.raises(InputError, match=r"no summary\.json"):
        release(settings(runs))
    assert {path.name for path in runs.iterdir()} == {"run", "probe", "anomaly"}


def test_a_detector_without_a_threshold_is_refused(runs: Path) -> None:
    folder = runs / "anomaly" / "detector"
    config = json.loads((folder / CONFIG).read_text())
    config["decision"]["threshold"] = None
    (folder / CONFIG).write_text(json.dumps(config))
    write_checksums(folder)
    with pytest.raises(InputError, match="threshold"):
        release(settings(runs, **DETECTOR, model=runs / "anomaly"))


def test_a_release_that_gives_something_else_is_refused_by_check(runs: Path) -> None:
    release(settings(runs))
    weights = load_file(runs / "release" / WEIGHTS)
    original = (runs / "release" / WEIGHTS).read_bytes()
    head = int.from_bytes(original[:8], "little") + 8
    changed = bytearray(original)
    changed[head + 3] ^= 0x40  # the exponent of the first weight
    (runs / "release" / WEIGHTS).write_bytes(bytes(changed))
    write_checksums(runs / "release")
    assert len(weights) == len(load_file(runs / "release" / WEIGHTS))
    with pytest.raises(InputError, match="stage 'network'"):
        check(CheckSettings(release=str(runs / "release")))


def test_halved_weights_are_rounded_matrices_and_answer_nearly_the_same(runs: Path) -> None:
    release(settings(runs))
    release(settings(runs, output=runs / "half", half=True))
    check(CheckSettings(release=str(runs / "half")))
    whole, half = (load_file(runs / name / WEIGHTS) for name in ("release", "half"))
    for name, values in whole.items():
        assert half[name].dtype == (np.float16 if values.ndim > 1 else np.float32)
        np.testing.assert_allclose(half[name], values, rtol=2**-11, atol=2**-24)
    signal = np.random.default_rng(0).normal(0, 0.3, (12, 5000))
    tables = (
        from_pretrained(runs / name).predict(signal, sampling_rate=500)
        for name in ("release", "half")
    )
    first, second = (table["probability"].to_numpy() for table in tables)
    assert 0 < np.abs(first - second).max() < 1e-2


def test_weights_that_16_bits_cannot_hold_are_refused() -> None:
    with pytest.raises(InputError, match=r"head\.weight.*too large"):
        halved({"head.weight": torch.full((2, 2), 1e6)})


@pytest.mark.slow
def test_an_onnx_file_of_the_same_classifier_goes_with_it_and_another_is_refused(
    runs: Path,
) -> None:
    file = runs / "model.onnx"
    export(ExportSettings(classifier=runs / "probe", output=file))
    release(settings(runs, onnx=file))
    assert (runs / "release" / "model.onnx").read_bytes() == file.read_bytes()
    folder = runs / "probe" / "classifier"
    weights = load_file(folder / WEIGHTS)
    save_file(weights | {"head.linear.bias": weights["head.linear.bias"] + 1}, folder / WEIGHTS)
    write_checksums(folder)
    with pytest.raises(InputError, match=r"model\.onnx.*stage 'network'"):
        release(settings(runs, onnx=file, output=runs / "another"))

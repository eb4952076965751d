"""A release that is incomplete, contradictory, pickled, linked or bears patients is refused."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from lamae.errors import InputError
from lamae.release.check import check_release, weights_identity
from lamae.release.derived import RESULTS
from lamae.release.description import RELEASE, read_description
from lamae.release.golden import GOLDEN
from lamae.runs.checksums import CHECKSUMS, write_checksums
from lamae.runs.run_folder import CONFIG, STATE, WEIGHTS

FORMAT_1 = Path(__file__).parent / "releases" / "format-1"
KINDS = ("encoder", "classifier", "detector")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FORMAT_1 / "classifier", tmp_path / "release"))


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file as somebody does who corrects its checksum as well."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    write_checksums(path.parent)


def problem(folder: Path) -> str:
    problems = check_release(folder)
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_releases_that_are_kept_are_right(kind: str) -> None:
    assert check_release(FORMAT_1 / kind) == []


@pytest.mark.parametrize(
    "name", [CONFIG, WEIGHTS, GOLDEN, RESULTS, "LICENSE", "NOTICE", "README.md", CHECKSUMS]
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert problem(folder) == f"no {name}"


def test_an_encoder_has_its_step(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(FORMAT_1 / "encoder", tmp_path / "release"))
    (copy / STATE).unlink()
    assert problem(copy) == f"no {STATE}"


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "scaler.pkl", "modeling.py"])
def test_a_pickle_or_code_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps({"weights": 1}))
    assert problem(folder) == f"{name} is no file of a release"


def test_a_link_and_a_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).rename(tmp_path / "elsewhere")
    (folder / WEIGHTS).symlink_to(tmp_path / "elsewhere")
    assert "is a link" in problem(folder)
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()
    assert "a release is flat" in problem(folder)


def test_damage_is_found_and_an_edited_card_is_none(folder: Path) -> None:
    with (folder / "README.md").open("a") as card:
        card.write("\nA sentence that somebody added on the Hub.\n")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    assert check_release(folder) == []
    with (folder / "LICENSE").open("a") as licence:
        licence.write("and more\n")
    assert "LICENSE" in problem(folder)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda d: d["output"]["classes"][0].update(threshold=0.1), "classes[0].threshold"),
        (lambda d: d["output"]["classes"][0]["auroc"].update(estimate=0.94), "classes[0].auroc"),
        (lambda d: d["input"].update(sampling_rate=500), "input.sampling_rate"),
        (lambda d: d["input"].update(leads=["I"]), "input.leads"),
        (lambda d: d["results"][0]["value"].update(high=0.9999), "results[0].value.high"),
        (lambda d: d["results"].pop(), "results"),
        (lambda d: d["training"].update(seed=7), "training.seed"),
        (lambda d: d["output"].update(embedding_width=65), "output.embedding_width"),
        (lambda d: d["output"]["classes"].reverse(), "classes[0].name"),
    ],
)
def test_a_description_that_contradicts_the_other_files_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object], where: str
) -> None:
    edited(folder / RELEASE, change)
    found = [text for text in check_release(folder) if "model-index" not in text]
    assert len(found) == 1 and where in found[0]


def test_results_of_another_run_are_refused(folder: Path) -> None:
    shutil.copy(FORMAT_1 / "detector" / RESULTS, folder / RESULTS)
    write_checksums(folder)
    assert any(RESULTS in text for text in check_release(folder))


def test_a_card_with_other_figures_or_an_empty_section_is_refused(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    figure = next(line for line in card.splitlines() if line.strip().startswith("value: 0."))
    (folder / "README.md").write_text(card.replace(figure, figure[:-1] + "0", 1))
    assert "model-index" in problem(folder)
    limits = card.split("## Limits\n")[1].split("## Not a medical device")[0]
    (folder / "README.md").write_text(card.replace(limits, "\n"))
    assert "section 'Limits'" in problem(folder)
    (folder / "README.md").write_text(card.replace("license: cc0-1.0", "license: mit"))
    assert "license in the YAML" in problem(folder)
    (folder / "README.md").write_text(card.partition("---\n\n")[2])
    assert "YAML" in problem(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (CONFIG, lambda d: d["about"]["settings"].update(encoder="/srv/ann/runs/first")),
        (RESULTS, lambda d: d["evaluation"].update(unusable={"train": {"short": ["00017_lr"]}})),
        (RESULTS, lambda d: d["evaluation"]["audit"]["training"].update(example="p10000032")),
        (RELEASE, lambda d: d.update(intended_use="As for patient p10000032.")),
        (RESULTS, lambda d: d["shards"].update({"s3://clinic/x": "00"})),
    ],
)
def test_traces_of_people_and_machines_are_refused(
    folder: Path, name: str, change: Callable[[dict[str, Any]], object]
) -> None:
    edited(folder / name, change)
    assert name in problem(folder)


def test_recordings_that_are_not_simulated_are_refused(folder: Path) -> None:
    tensors = load_file(folder / GOLDEN)
    with safe_open(folder / GOLDEN, framework="np") as file:
        metadata = file.metadata()
    tensors["1/digital"][0] += 100
    save_file(tensors, folder / GOLDEN, metadata)
    write_checksums(folder)
    assert "patient" in problem(folder)


def test_weights_name_their_release_and_those_of_another_are_refused(folder: Path) -> None:
    wanted = {"kind": "classifier", "name": "tiny-classifier", "version": "1.0.0"}
    assert weights_identity(folder / WEIGHTS) == wanted
    shutil.copy(FORMAT_1 / "encoder" / WEIGHTS, folder / WEIGHTS)
    write_checksums(folder)
    assert "tiny-encoder" in problem(folder)


def test_a_licence_without_text_and_a_notice_without_the_data_are_refused(folder: Path) -> None:
    (folder / "LICENSE").write_text("\n")
    (folder / "NOTICE").write_text("nothing\n")
    write_checksums(folder)
    assert len(check_release(folder)) == 2


def test_a_folder_without_a_description_is_no_release(tmp_path: Path) -> None:
    assert check_release(tmp_path) == [f"no {RELEASE}"] and read_description(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(format="lamae-release-2"), "Install a newer lamae"),
        (lambda d: d.update(format="other"), "lamae-release-1"),
        (lambda d: d["requires"].update(lamae=">=99"), "Install lamae>=99"),
        (lambda d: d["license"].update(weights="free for all"), "license.weights"),
        (lambda d: d.update(version="1.0"), "such as 1.0.0"),
        (lambda d: d.update(name="a/b"), "name"),
        (lambda d: d.update(limits=[]), "limits"),
        (lambda d: d.update(code="import os"), "code"),
        (lambda d: d["changelog"].pop("1.0.0"), "changelog"),
        (lambda d: d["output"]["classes"].append(d["output"]["classes"][0]), "named once"),
        (lambda d: d["output"]["classes"][0]["auroc"].update(low=0.999), "does not hold"),
        (lambda d: d.update(kind="encoder"), "with 3 classes"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused_with_its_reason(
    folder: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    edited(folder / RELEASE, change)
    with pytest.raises(InputError, match=told.replace(".", r"\.")):
        read_description(folder)
    assert told in problem(folder)

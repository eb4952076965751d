"""The command line answers as Python does, for a file, a folder and shards, and says whence."""

import csv
import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lamae
from finetune.main import SCRIPT, main
from finetune.prediction.embed import embed
from finetune.prediction.outputs import about_path
from finetune.prediction.predict import predict
from finetune.prediction.settings import EmbedSettings, PredictSettings, SimilarSettings
from finetune.prediction.similar import similar
from lamae.commands import find
from lamae.config import ConfigError, load_settings
from lamae.errors import InputError
from lamae.pretrained.embeddings import read_embeddings
from lamae.storage.corpus import Corpus
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from tests.test_lamae_pretrained_pretrained import SHIPPED, save_csv, saved_classifier, signal_mv

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("0.csv", "1.csv", "2.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three recordings of 10 s, 10 s and 4 s, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed, (name, seconds) in enumerate(zip(NAMES, (10, 10, 4), strict=True)):
        save_csv(folder / name, signal_mv(seconds, seed=seed))
    return folder


@pytest.fixture(scope="module")
def shards(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build shards of them."""
    output = tmp_path_factory.mktemp("shards") / "shards"
    how = {"source_kind": "folder", "workers": 1, "min_duration_s": 1}
    values = {"source": folder, "output": output, "split": {"train": 1.0, "val": 0.0, "test": 0.0}}
    build_shards(ShardsSettings.model_validate(values | how))
    return output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_classifier(tmp_path_factory.mktemp("model") / "two-classes")


@pytest.fixture(scope="module")
def expected(model: Path, folder: Path) -> dict[str, list[float]]:
    """Answer each recording by Python."""
    opened = lamae.from_pretrained(model, device="cpu")
    tables = {name: opened.predict(folder / name) for name in NAMES}
    return {name: table["probability"].tolist() for name, table in tables.items()}


def asked(schema: type[Any], **values: Any) -> Any:
    return schema.model_validate({"cpu_threads": 1, "device": "cpu"} | values)


def by_recording(table: pd.DataFrame) -> dict[str, list[float]]:
    groups = table.groupby("recording", sort=False)["probability"]
    return {name.removesuffix(".csv") + ".csv": list(group) for name, group in groups}


@pytest.mark.parametrize("source", ["folder", "shards"])
@pytest.mark.parametrize("ending", [".csv", ".parquet", ".json"])
def test_many_recordings_answer_as_each_by_python(
    source: str,
    ending: str,
    expected: dict[str, list[float]],
    model: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    output = tmp_path / f"out{ending}"
    place = request.getfixturevalue(source)
    (line,) = predict(asked(PredictSettings, model=model, source=place, output=output))
    assert line == f"3 of 3 recordings answered, 1 with cautions, 0 with a problem: {output}"
    reader = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".json": pd.read_json}[ending]
    table = reader(output, **({"dtype": {"recording": str}} if ending != ".parquet" else {}))
    found = by_recording(table)
    assert list(found) == list(NAMES)
    for name in NAMES:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    assert table["class"].tolist() == ["MI", "CD"] * 3
    assert table["cautions"].fillna("").tolist() == [""] * 4 + ["4 s: padded to 10 s"] * 2
    about = json.loads(about_path(output).read_text())
    assert about["counts"]["recordings"] == 3 and about["config"]["model"] == str(model)
    assert about["model"]["sha256"] == lamae.from_pretrained(model, device="cpu").checksum


def test_a_file_that_cannot_be_read_is_a_row_with_its_problem(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    save_csv(tmp_path / "a.csv", signal_mv())
    (tmp_path / "b.xml").write_text("<nothing/>")
    output = tmp_path / "results" / "out.csv"
    source = {"source": tmp_path, "layout": "wide"}
    (line,) = predict(asked(PredictSettings, model=model, output=output, **source))
    assert line.startswith("1 of 2 recordings answered, 0 with cautions, 1 with a problem: ")
    with output.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["recording"] == "a.csv" and first["problem"] == "" and float(first["MI"]) > 0
    assert second["recording"] == "b.xml" and "no known format" in second["problem"]
    assert (second["MI"], second["called"]) == ("", "")


def test_one_recording_is_answered_on_the_terminal(
    model: Path, folder: Path, expected: dict[str, list[float]]
) -> None:
    lines = predict(asked(PredictSettings, model=model, source=folder / "2.csv"))
    assert lines[0].endswith("2.csv: classifier two-classes")
    assert lines[1].split() == ["class", "probability", "threshold", "called"]
    for line, name, value in zip(lines[2:4], ("MI", "CD"), expected["2.csv"], strict=True):
        assert line.split()[:2] == [name, f"{value:.3f}"]
    assert lines[4] == "caution: 4 s: padded to 10 s"
    with pytest.raises(InputError, match="no such file"):
        predict(asked(PredictSettings, model=model, source=folder / "3.csv"))


def test_embeddings_come_back_from_every_form_and_find_themselves(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "broken.hea").write_text("x")
    for name in NAMES:
        (tmp_path / "more" / name).write_bytes((folder / name).read_bytes())
    encoder = lamae.from_pretrained(SHIPPED, device="cpu")
    alone = np.stack([encoder.embed(folder / name) for name in NAMES])
    for ending in (".npz", ".parquet", ".csv"):
        output = tmp_path / f"e{ending}"
        how = {"model": SHIPPED, "source": tmp_path / "more", "output": output}
        (line,) = embed(asked(EmbedSettings, **how))
        assert line.startswith("3 of 4 recordings answered")
        found = read_embeddings(output)
        assert found.names == (*NAMES, "broken.hea") and found.problems[:3] == ("", "", "")
        assert "broken.hea" in found.problems[3] and np.isnan(found.values[3]).all()
        np.testing.assert_allclose(found.usable.values, alone, atol=2e-5)
    how = {"model": SHIPPED, "source": folder / "1.csv", "reference": tmp_path / "e.npz"}
    lines = similar(asked(SimilarSettings, count=2, **how))
    assert lines[2].split() == ["1.csv", "1.0000"]
    assert lines[-1] == "0.0 % of the reference is nearer to its own nearest recording"
    table = tmp_path / "similar.json"
    similar(asked(SimilarSettings, output=table, **how | {"reference": folder}))
    rows = json.loads(table.read_text())
    assert [row["rank"] for row in rows] == [1, 2, 3] and rows[0]["similar"] == "1.csv"
    cosines = encoder.similarity(alone[1], alone)
    assert [row["similarity"] for row in rows] == pytest.approx(sorted(cosines)[::-1], abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("model={model} source={folder}", "output: not given, and .* is a folder; expected a file"),
        ("model={model} source={folder} output=a.xls", "output: .*expected a file that ends in"),
        ("model=nothing source={folder} output=a.csv", "model 'nothing': no such name"),
        ("classifier={model} source={folder}", "classifier: .*model"),
        ("model={model} data={folder}", "data: .*source"),
        ("model={model} source={folder} output=a.csv splits=[val]", "which is no folder of shards"),
        (f"model={SHIPPED} source={{folder}} output=a.csv", "which cannot predict; expected"),
    ],
)
def test_what_cannot_be_done_ends_with_a_sentence(
    arguments: str,
    said: str,
    model: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["predict", *arguments.format(model=model, folder=folder).split()])
    assert ended.value.code == 2
    (problem, *_) = capsys.readouterr().err.splitlines()[-2:]
    assert re.search(said, problem), problem


def test_a_result_is_replaced_only_on_demand(model: Path, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.csv"
    output.write_text("mine")
    with pytest.raises(InputError, match="exists; expected no file of another result"):
        predict(asked(PredictSettings, model=model, source=folder, output=output))
    assert output.read_text() == "mine"


def test_files_of_arrays_are_read_as_the_user_says(model: Path, tmp_path: Path) -> None:
    signal = signal_mv()
    np.save(tmp_path / "a.npy", (signal * 1000).astype(np.float32))
    told = load_settings(
        PredictSettings,
        [f"model={model}", f"source={tmp_path}/a.npy", "sampling_rate=500", "unit=uV"],
    )
    lines = predict(told)
    found = lamae.from_pretrained(model, device="cpu").predict(signal, sampling_rate=500)
    assert lines[2].split()[1] == f"{found['probability'][0]:.3f}"
    with pytest.raises(ConfigError, match="sampling_rate"):
        load_settings(PredictSettings, ["model=a", "source=b", "sampling_rate=-1"])


def test_the_program_is_installed_under_its_own_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert find(project["scripts"][SCRIPT]) is main
    monkeypatch.setattr(sys, "argv", [f"/somewhere/bin/{SCRIPT}"])
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert capsys.readouterr().out.startswith("usage: lamae predict [CONFIG.yaml] [key=value")


@pytest.mark.slow
def test_a_user_predicts_from_any_folder(
    model: Path, folder: Path, launch: Callable[..., CompletedProcess[str]], shards: Path
) -> None:
    told = launch("finetune/main.py", "predict", f"model={model}", f"source={folder}/0.csv")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[1].split()[0] == "class"
    assert len(Corpus(shards)) == 3

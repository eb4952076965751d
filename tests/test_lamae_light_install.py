"""`pip install .` gives what reads recordings and runs classifiers: no torch, under 350 MB."""

import csv
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

import lamae
from tests.test_lamae_edge_pretrained_onnx import save_models
from tests.test_lamae_packages import HEAVY

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ("lamae", "shards", "pretrain", "finetune")
MAX_MB = 350
UNREACHABLE = ("Temporary failure in name resolution", "Connection refused", "NewConnectionError")

CLASSIFY = """
import importlib.util, json, sys
from pathlib import Path
import lamae
found = lamae.OnnxClassifier(Path(sys.argv[1]))(lamae.read_ecg(sys.argv[2]))
heavy = [name for name in sys.argv[3:] if importlib.util.find_spec(name)]
print(json.dumps([found, heavy, lamae.__file__]))
"""


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install this checkout into an environment of its own; return the folder of its programs."""
    folder = tmp_path_factory.mktemp("light")
    for name in INSTALLED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "checkout" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "checkout" / name)
    venv.create(folder / "venv", with_pip=True)
    command = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-q"]
    command += ["-c", str(ROOT / "constraints.txt"), str(folder / "checkout")]
    done = run(folder / "venv" / "bin", *command, cwd=folder)
    if any(sign in done.stderr for sign in UNREACHABLE):
        pytest.skip("needs a package index")
    assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin"


def run(programs: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python of an environment, as one without any other does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(programs / "python"), *arguments], cwd=cwd, env=kept, capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_light_set_classifies_within_its_size_and_without_torch(
    light: Path, tmp_path: Path, recordings: Path
) -> None:
    files = [path for path in light.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    sys.stdout.write(f"{megabytes:.0f} MB\n")
    assert megabytes < MAX_MB

    folder, file = save_models(tmp_path)
    headers = sorted(str(path) for path in recordings.rglob("*.hea"))
    answer = lamae.from_pretrained(folder).answer(lamae.read_ecg(headers[0]))
    assert answer.probabilities is not None

    done = run(light, "-c", CLASSIFY, str(file), headers[0], *sorted(HEAVY), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, heavy, place = json.loads(done.stdout)
    assert heavy == [], "no package of an extra is there"
    assert Path(place).is_relative_to(light.parent), "it is the installed one, not the checkout"
    assert list(found) == ["A", "B"]
    np.testing.assert_allclose(list(found.values()), answer.probabilities, atol=1e-5)

    model = f"model={file}"
    shown = subprocess.run(
        [str(light / "lamae"), "predict", model, f"source={headers[0]}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert f"{answer.probabilities[0]:.3f}" in shown.stdout
    many = run(
        light,
        *("-m", "finetune.main", "predict", model, f"source={recordings}", "output=all.csv"),
        cwd=tmp_path,
    )
    assert many.returncode == 0, many.stderr
    with (tmp_path / "all.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    first = [float(row["probability"]) for row in rows if headers[0].endswith(row["recording"])]
    np.testing.assert_allclose(first, answer.probabilities, atol=1e-5)

    trained = run(light, "-m", "finetune.main", f"data={tmp_path}", "mode=lasan", cwd=tmp_path)
    assert trained.returncode == 2
    assert trained.stderr.startswith("error: package ")
    assert "pip install 'lamae[train]'" in trained.stderr

"""Without a package of an extra, every program and verb says so in one sentence."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lamae.errors import InputError
from lamae.packages import extra_of, import_package, missing_package
from lamae.readers.any_file import read_ecg

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
HEAVY = {"accelerate", "blosc2", "einops", "h5py", "isal", "matplotlib", "pyarrow"}
HEAVY |= {"timm", "torch", "jinja2", "pandas"}

RUN = """
import contextlib, io, json, runpy, sys

absent, command_lines = json.load(sys.stdin)
sys.modules |= dict.fromkeys(absent)  # importing one is now an error
said = []
for program, *line in command_lines:
    sys.argv = [f"{program}/main.py", *line]
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
            said.append([0, err.getvalue()])
        except SystemExit as ended:
            said.append([ended.code, err.getvalue()])
        except BaseException as error:
            said.append([repr(error), err.getvalue()])
print(json.dumps(said))
"""
"""Runs command lines in an interpreter where packages cannot be found."""


def run_without(absent: set[str], command_lines: list[list[str]], folder: Path) -> list[list]:
    given = json.dumps([sorted(absent), command_lines])
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0]


def test_the_light_set_has_nothing_that_trains_or_builds_shards() -> None:
    light = {name_of(each).lower() for each in PROJECT["dependencies"]}
    assert not light & HEAVY
    assert {"torch", "accelerate", "pyarrow"} <= {name_of(each) for each in EXTRAS["train"]}


def test_a_package_is_known_by_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = [f'{each}; extra == "{extra}"' for extra, names in EXTRAS.items() for each in names]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wheel)
    for package, extra in (("torch", "train"), ("s3fs", "remote"), ("pydicom", "hospital")):
        assert extra_of(package) == extra


def test_a_module_of_our_own_that_is_missing_is_a_mistake_and_no_package() -> None:
    assert missing_package(ModuleNotFoundError("no", name="lamae.nothing")) is None
    assert missing_package(ModuleNotFoundError("no", name="json.nothing")) is None
    with pytest.raises(InputError, match=r"package nowhere_at_all: not installed"):
        import_package("nowhere_at_all.inside")


def test_every_program_and_verb_says_in_one_sentence_that_a_package_is_missing(
    tmp_path: Path,
) -> None:
    run_dir = f"run_dir={tmp_path / 'run'}"
    lines = [
        ["shards", "build", "configs/shards/folder.yaml", f"source={tmp_path}", run_dir],
        ["shards", "verify", str(tmp_path)],
        ["pretrain", "configs/pretrain/cpu.yaml", f"data={tmp_path}", run_dir],
        ["finetune", "train", f"data={tmp_path}", f"encoder={tmp_path}", run_dir],
        ["finetune", "export", f"classifier={tmp_path}", f"output={tmp_path / 'x.onnx'}"],
        ["finetune", "anomaly", "configs/finetune/anomaly_cae.yaml", f"data={tmp_path}", run_dir],
    ]
    lines[0][-1] = f"output={tmp_path / 'shards'}"
    for line, (status, err) in zip(lines, run_without(HEAVY, lines, tmp_path), strict=True):
        assert status == 2, (line, status, err)
        assert re.fullmatch(r"error: package \w+: not installed; expected .*\n", err), (line, err)
        assert "pip install 'lamae[train]'" in err
        assert "make setup" in err


def test_help_on_training_needs_no_package_of_an_extra(tmp_path: Path) -> None:
    lines = [[program, "--help"] for program in ("pretrain", "finetune")]
    assert run_without(HEAVY, lines, tmp_path) == [[0, ""]] * 2


def test_hdf5_without_its_package_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recording.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    monkeypatch.setitem(sys.modules, "lamae.readers.arrays.hdf5_files", None)
    with pytest.raises(InputError, match=r"pip install 'lamae\[hdf5\]'"):
        read_ecg(path)

"""slurm/one_machine.sh touches nothing that it has not made."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("verb", ["up", "down"])
def test_a_folder_of_somebody_else_keeps_its_files(tmp_path: Path, verb: str) -> None:
    (tmp_path / "precious").write_text("kept")
    program = str(ROOT / "slurm" / "one_machine.sh")
    environment = os.environ | {"LAMAE_SLURM": str(tmp_path)}
    done = subprocess.run([program, verb], env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) == (verb == "down")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert (tmp_path / "precious").read_text() == "kept"

"""The benchmark of a GPU, on the device that is there: so that it works the first time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import largest_difference

ROOT = Path(__file__).resolve().parents[1]


def test_the_largest_difference_is_relative_to_the_first() -> None:
    assert largest_difference([1.0, 4.0], [1.1, 4.2]) == pytest.approx(0.1)


@pytest.mark.slow
def test_it_runs_to_its_end_and_goes_on_where_it_was(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.gpu", str(tmp_path / "runs")]
    command += ["--smoke", "--minutes", "60", "--json", str(found)]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    results = json.loads(found.read_text())
    assert results["smoke"] is True
    speed = results["tiny, eager, device"]
    assert speed["ecg_per_s"] > 0 and 0 < speed["peak_share"] < 1
    assert speed["checkpoint_steps"] > 0
    assert len(results["cpu_and_gpu"]["losses"][0]) == 20
    assert results["cpu_and_gpu"]["largest_relative_difference"] < 1e-3
    assert results["resumed"] | {"largest_relative_difference": 0} == {
        "interrupted_after": 1,
        "steps": 12,
        "largest_relative_difference": 0,
    }
    assert results["resumed"]["largest_relative_difference"] < 1e-3
    assert results["trained"]["val/loss"] > 0
    assert "failed" not in printed

    runs = sorted((tmp_path / "runs" / "runs").rglob("metrics.jsonl"))
    before = [path.stat().st_mtime_ns for path in runs]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert [path.stat().st_mtime_ns for path in runs] == before

"""The benchmark of the whole scale, at 2,000 recordings."""

from pathlib import Path

import pytest

from benchmarks.simulated_blocks import Scale
from benchmarks.whole_scale import STAGES, run, table_lines


@pytest.mark.slow
def test_all_stages_run_in_processes_of_their_own_and_none_twice(tmp_path: Path) -> None:
    scale = Scale(tmp_path / "scale", records=2000, workers=1, steps=2)
    found = run(scale)
    stages = found["stages"]
    assert list(stages) == list(STAGES) and len(table_lines(found)) == 2 + len(STAGES)
    assert (stages["merge"]["kept"], stages["verify"]["intact"]) == (2000, 2000)
    assert stages["verify"]["problems"] == 0
    assert not scale.recordings.exists()
    assert stages["list"]["growth_bytes"] / 2000 < 100_000 and stages["list"]["peak_mb"] < 1000
    written = (scale.scratch / "whole_scale.json").stat().st_mtime_ns
    assert run(scale) == found
    assert (scale.scratch / "whole_scale.json").stat().st_mtime_ns == written

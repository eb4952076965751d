"""A process that holds up the others is named, and one that does not is not."""

import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from lamae.config import as_yaml
from lamae.runs.tracking import read_metrics
from pretrain.monitoring.paces import Pace, named_straggler, own_pace, pace_scalars, stragglers
from pretrain.monitoring.settings import StatusSettings
from pretrain.monitoring.status import status
from pretrain.settings import PretrainSettings

ROOT = Path(__file__).resolve().parents[1]
SLOW_READER = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pretrain import batches
step_batches = batches.step_batches

def slow(*arguments):
    time.sleep(0.5 * (os.environ["RANK"] == "1"))
    return step_batches(*arguments)

batches.step_batches = slow
from pretrain.main import main
main(sys.argv[1:])
"""


def paces(*own_s: float, step_s: float = 2.0, damaged: int = 0) -> list[Pace]:
    return [Pace(f"n{n // 2}", step_s, own, 0.1, 64.0, damaged) for n, own in enumerate(own_s)]


@pytest.mark.parametrize(
    ("own_s", "expected"),
    [
        ((1.0,), {}),
        ((1.0, 1.0, 1.0, 1.0), {}),
        ((1.0, 1.2, 0.9, 1.1), {}),
        ((1.0, 1.0, 1.0, 1.5), {3: 1.5}),
        ((3.0, 1.0), {0: 3.0}),
        ((1.0, 2.0, 1.0, 4.0, 1.0), {1: 2.0, 3: 4.0}),
        ((0.010, 0.020), {}),  # twice the other, and no matter in a step of two seconds
        ((0.0, 0.0), {}),
    ],
)
def test_a_straggler_is_above_the_median_by_a_quarter_and_by_a_share_of_a_step(
    own_s: tuple[float, ...], expected: dict[int, float]
) -> None:
    assert stragglers(paces(*own_s)) == pytest.approx(expected)


def test_the_log_has_the_pace_of_each_process_and_names_stragglers_with_their_machines() -> None:
    found = pace_scalars(paces(1.0, 1.0, 1.0, 1.5, damaged=2))
    assert found.pop("straggler/n1/rank_3") == 1.5
    assert found.pop("data/damaged") == 8
    names = {"step_s", "own_s", "data_wait_share", "ecg_per_s"}
    assert found.keys() == {f"rank/{rank}/{name}" for rank in range(4) for name in names}
    assert found["rank/3/own_s"] == 1.5
    assert pace_scalars(paces(1.0)) == {}
    told = named_straggler("straggler/a-1.b/rank_12", 1.52)
    assert told == "process 12 on a-1.b takes 1.5 times the median by itself"


def test_the_time_of_a_process_by_itself_is_waiting_for_data_and_forward() -> None:
    report = {"time/step_s": 2.0, "time/data_wait_share": 0.25, "time/ecg_per_s": 256.0}
    pace = own_pace(report, forward_s=0.3, processes=4, damaged=0)
    assert (pace.own_s, pace.ecg_per_s) == pytest.approx((0.8, 64.0))


@pytest.mark.slow
def test_a_process_that_reads_slowly_is_named_in_log_and_status(
    make_settings: Callable[..., PretrainSettings],
    launch: Callable[..., CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    script, config = tmp_path / "slow_reader.py", tmp_path / "run.yaml"
    script.write_text(SLOW_READER)
    settings = make_settings(steps=4)
    config.write_text(as_yaml(settings))
    outcome = launch(str(script), str(config), processes=2)
    assert outcome.returncode == 0, outcome.stderr
    last = [row for row in read_metrics(settings.run_dir) if "train/loss" in row][-1]
    named = {name for name in last if name.startswith("straggler/")}
    assert named == {f"straggler/{socket.gethostname()}/rank_1"}
    assert last["rank/1/own_s"] > last["rank/0/own_s"]
    told = "\n".join(status(StatusSettings(run_dir=settings.run_dir)))
    assert f"straggler: process 1 on {socket.gethostname()} takes" in told
    assert f"2 processes on {socket.gethostname()}" in told
    assert f"process 1 on {socket.gethostname()} takes" in outcome.stderr

"""Checkpoints are kept by policy, and never is the last good one removed."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamae.runs.checksums import write_checksums
from lamae.runs.run_folder import (
    CHECKPOINT_FILES,
    STATE,
    Attempt,
    FencedError,
    checkpoint_folder,
    checkpoints,
    step_of,
)
from pretrain.retention import VALIDATION_LOSS, apply_retention, best_step, removable_steps
from pretrain.settings import Retention

STEPS = st.lists(st.integers(0, 60), unique=True, max_size=20)
POLICIES = st.builds(
    Retention,
    keep_last=st.integers(1, 25),
    keep_best=st.booleans(),
    milestone_every=st.none() | st.integers(1, 20),
)


@given(STEPS, POLICIES, st.data())
def test_what_is_removed_breaks_every_rule_and_what_is_kept_meets_one(
    steps: list[int], policy: Retention, data: st.DataObject
) -> None:
    best = data.draw(st.none() | st.sampled_from(steps)) if steps else None
    removed = removable_steps(steps, best=best, policy=policy)
    for step in steps:
        newer = sum(other > step for other in steps)
        is_best = policy.keep_best and step == best
        is_milestone = policy.milestone_every is not None and step % policy.milestone_every == 0
        assert (step not in removed) == (newer < policy.keep_last or is_best or is_milestone)
    assert set(removed) <= set(steps)
    assert not steps or max(steps) not in removed


@given(STEPS, POLICIES)
def test_removing_again_removes_nothing_more(steps: list[int], policy: Retention) -> None:
    removed = removable_steps(steps, best=None, policy=policy)
    kept = [step for step in steps if step not in removed]
    assert removable_steps(kept, best=None, policy=policy) == []


def test_the_best_is_the_lowest_finite_loss_and_the_later_of_equals() -> None:
    nan, inf = float("nan"), float("inf")
    assert best_step({1: 0.5, 2: 0.25, 3: 0.25, 4: None, 5: nan, 6: -inf}) == 3
    assert best_step({1: None, 2: nan}) is None
    assert best_step({}) is None


def make(run_dir: Path, step: int, loss: float | None) -> Path:
    folder = checkpoint_folder(run_dir, step)
    folder.mkdir(parents=True)
    for name in CHECKPOINT_FILES:
        (folder / name).write_text("{}")
    (folder / STATE).write_text(json.dumps({"step": step, VALIDATION_LOSS: loss}))
    write_checksums(folder)
    return folder


def kept_steps(run_dir: Path) -> list[int]:
    return [step_of(folder) for folder in checkpoints(run_dir)]


def test_last_best_and_milestones_are_kept_as_a_run_goes_on(tmp_path: Path) -> None:
    policy, attempt = Retention(keep_last=2, milestone_every=50), Attempt(tmp_path)
    losses = [0.9, 0.8, 0.3, 0.6, 0.5, None, 0.7, 0.4, 0.6, 0.5, 0.6]
    for number, loss in enumerate(losses, start=1):
        make(tmp_path, 10 * number, loss)
        apply_retention(tmp_path, policy, attempt)
    assert kept_steps(tmp_path) == [30, 50, 100, 110]
    assert sorted(path.name for path in checkpoint_folder(tmp_path, 1).parent.iterdir()) == [
        f"step-{step:08d}" for step in (30, 50, 100, 110)
    ]


def test_nothing_is_removed_while_the_newest_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policy, attempt = Retention(keep_last=1, keep_best=False), Attempt(tmp_path)
    for step in (1, 2, 3):
        folder = make(tmp_path, step, None)
    (folder / STATE).write_text("{")
    apply_retention(tmp_path, policy, attempt)
    assert kept_steps(tmp_path) == [1, 2, 3]
    assert "step-00000003 is damaged" in caplog.text


def test_an_attempt_that_has_been_replaced_removes_nothing(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    Attempt(tmp_path)
    for step in (1, 2):
        make(tmp_path, step, None)
    with pytest.raises(FencedError):
        apply_retention(tmp_path, Retention(keep_last=1, keep_best=False), attempt)
    assert kept_steps(tmp_path) == [1, 2]

"""One attempt at a run writes; a damaged checkpoint gives way to the one before."""

import json
from pathlib import Path

import pytest

from lamae.errors import InputError
from lamae.runs.checksums import CHECKSUMS, write_checksums
from lamae.runs.run_folder import (
    CHECKPOINT_FILES,
    Attempt,
    FencedError,
    checkpoint_folder,
    checkpoints,
    newest_checkpoint,
    newest_intact,
    remove_checkpoint,
    resume_from,
    step_of,
    sweep,
)


def make(run_dir: Path, step: int) -> Path:
    folder = checkpoint_folder(run_dir, step)
    folder.mkdir(parents=True)
    for name in CHECKPOINT_FILES:
        (folder / name).write_text(f"{name} of step {step}")
    write_checksums(folder)
    return folder


def spoil(folder: Path, name: str = "optimizer.safetensors") -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"?")


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    steps = [2_000_000_000, 99_999_999, 100_000_000, 9, 10]
    for step in steps:
        make(tmp_path, step)
    assert [step_of(folder) for folder in checkpoints(tmp_path)] == sorted(steps)
    assert newest_checkpoint(tmp_path) == checkpoint_folder(tmp_path, 2_000_000_000)


def test_a_run_without_checkpoints_has_no_newest(tmp_path: Path) -> None:
    assert newest_intact(tmp_path) is None
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("name", [*CHECKPOINT_FILES, CHECKSUMS])
def test_a_damaged_newest_falls_back_to_the_one_before_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    before = make(tmp_path, 4)
    spoil(make(tmp_path, 8), name)
    assert newest_intact(tmp_path) == before
    (warning,) = caplog.messages
    assert f"step-00000008 is damaged: file {name}" in warning
    assert "taking step-00000004 instead" in warning


def test_damaged_ones_are_set_aside_and_keep_their_content(tmp_path: Path) -> None:
    before = make(tmp_path, 4)
    spoil(make(tmp_path, 8))
    spoil(make(tmp_path, 9))
    assert resume_from(tmp_path, Attempt(tmp_path)) == before
    assert checkpoints(tmp_path) == [before]
    aside = sorted(path.name for path in before.parent.glob("*.damaged"))
    assert aside == ["step-00000008.attempt-1.damaged", "step-00000009.attempt-1.damaged"]
    make(tmp_path, 8)
    spoil(checkpoint_folder(tmp_path, 8))
    assert resume_from(tmp_path, Attempt(tmp_path)) == before
    assert len(list(before.parent.glob("*.damaged"))) == 3


def test_nothing_intact_is_an_error_that_moves_nothing(tmp_path: Path) -> None:
    spoil(make(tmp_path, 4))
    (make(tmp_path, 8) / CHECKSUMS).unlink()
    there = checkpoints(tmp_path)
    message = r"step-00000008 is damaged: no files\.json.*step-00000004 is damaged: file opt"
    with pytest.raises(InputError, match=message):
        resume_from(tmp_path, Attempt(tmp_path))
    assert checkpoints(tmp_path) == there


def test_an_attempt_learns_that_another_has_taken_over(tmp_path: Path) -> None:
    first = Attempt(tmp_path)
    first.check()
    second = Attempt(tmp_path)
    assert (first.number, second.number) == (1, 2)
    second.check()
    folder = make(tmp_path, 4)
    message = r"attempt 1: attempt 2 has taken over; .*attempts/0002 names the other"
    for write in (
        first.check,
        lambda: remove_checkpoint(folder, first),
        lambda: sweep(tmp_path, first),
    ):
        with pytest.raises(FencedError, match=message):
            write()
    assert folder.exists()
    about = json.loads((tmp_path / "attempts" / "0002").read_text())
    assert about.keys() == {"host", "process", "started"}


def test_attempts_that_begin_at_once_get_numbers_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks at the folder before the others have written their files there."""
    with monkeypatch.context() as patched:
        patched.setattr("lamae.runs.run_folder._newest_attempt", lambda folder: 0)
        begun = [Attempt(tmp_path) for _ in range(3)]
    assert [attempt.number for attempt in begun] == [1, 2, 3]
    begun[2].check()
    for attempt in begun[:2]:
        with pytest.raises(FencedError, match="attempt 3 has taken over"):
            attempt.check()


def test_what_killed_attempts_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    kept = make(tmp_path, 4)
    for name in ("step-00000004.removed", "step-00000008.attempt-1.partial"):
        (kept.parent / name).mkdir()
    others = [kept.parent / name for name in ("step-00000008.attempt-1.damaged", "my copy")]
    for folder in others:
        folder.mkdir()
    sweep(tmp_path, Attempt(tmp_path))
    assert sorted(kept.parent.iterdir()) == sorted([kept, *others])

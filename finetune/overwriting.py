"""Results that are there already: they are replaced only where that was asked for."""

import shutil
from pathlib import Path

from lamae.errors import InputError
from lamae.runs.tracking import SUMMARY

_SCORES = ("predictions*.csv", "out_of_fold.csv", "scores.csv")


def check_output(path: Path, *, overwrite: bool, holds: str) -> None:
    """Raise InputError where a file, which `holds` says what of, would be replaced unasked."""
    if path.exists() and not overwrite:
        raise InputError(
            f"output {path}",
            value="exists",
            expected=f"no file of {holds}",
            remedy="Give overwrite=true to replace it, or another output=.",
        )


def check_free(run_dir: Path, *, overwrite: bool) -> None:
    """Raise InputError where a run would replace the results of another unasked, or a file."""
    files = [path for path in (run_dir, *run_dir.parents) if path.is_file()]
    if files:
        raise InputError(
            f"run folder {run_dir}",
            value=f"{files[0]} is a file",
            expected="a folder, or a place for one",
            remedy="Give another run_dir=.",
        )
    if (run_dir / SUMMARY).exists() and not overwrite:
        raise InputError(
            f"run folder {run_dir}",
            value=f"holds {SUMMARY}",
            expected="no results of another run",
            remedy="Give overwrite=true to replace them, or another run_dir=.",
        )


def check_apart(run_dir: Path, *others: Path) -> None:
    """Raise InputError where results would go into a folder that they are made from."""
    if run_dir.resolve() in [folder.resolve() for folder in others]:
        raise InputError(
            f"run folder {run_dir}",
            value="a run that is read",
            expected="a folder of its own",
            remedy="Give another run_dir=.",
        )


def clear_results(run_dir: Path) -> None:
    """Remove summary.json, which tells that a former run is complete, and what else it left.

    Called once the inputs are known to be right; the main process alone removes.
    """
    from accelerate import PartialState  # seconds, which a prediction for one file need not wait

    if not PartialState().is_main_process:
        return
    (run_dir / SUMMARY).unlink(missing_ok=True)
    for pattern in _SCORES:
        for path in run_dir.glob(pattern):
            path.unlink()
    for folder in (run_dir / "figures", run_dir / "tables"):
        shutil.rmtree(folder, ignore_errors=True)

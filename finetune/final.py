"""The final evaluation of a finished run on the test split.

The classifier and its baselines are trained anew from the settings and the seed of the run, which
gives the same classifiers on the same machine, and are evaluated on the split that the development
did not touch. Results are in a folder of their own in the run, and test_openings.jsonl beside it
says each time that the split was opened.
"""

from pathlib import Path

from finetune.openings import OPENINGS, log_opening
from finetune.overwriting import check_free
from finetune.processes import start
from finetune.run import finetune
from finetune.run_settings import FinalSettings
from finetune.settings import FinetuneSettings
from lamae.config import read_settings
from lamae.errors import InputError
from lamae.runs.tracking import read_summary
from lamae.storage.corpus import Corpus

FOLDER = "final"
"""Folder of a run with its final evaluation."""
_TIMES = {1: "first", 2: "second", 3: "third"}


def evaluate_finally(settings: FinalSettings) -> list[str]:
    """Evaluate a run on the test split; return what was found and how often it was opened.

    Raises InputError for what is no finished run, one that was developed on the split, and results
    that would be replaced unasked.
    """
    own = final_settings(settings)
    assert own.run_dir is not None
    check_free(own.run_dir, overwrite=own.overwrite)
    told = []
    if start(own, precision=own.precision).is_main_process:
        corpus, split = Corpus(own.data, **own.caching), settings.split
        rows = corpus.rows(split)
        number = log_opening(settings.run, split=split, recordings=len(rows), shards=corpus.digest)
        times = _TIMES.get(number, f"{number}th")
        told = [
            f"Split {settings.split!r} was opened for the {times} time by this run; "
            f"{settings.run / OPENINGS} says when."
        ]
    return [*told, *finetune(own, logs_opening=False)]


def final_settings(settings: FinalSettings) -> FinetuneSettings:
    """Return the settings of the run, with the split and a folder of the final evaluation."""
    summary = read_summary(settings.run)
    config = summary.get("config", {})
    if "folds" in config or "mode" not in config:
        raise _run_error(settings.run, "no run of one classifier", "a run of the verb train")
    own = read_settings(FinetuneSettings, config)
    if own.eval_split == settings.split:
        raise _run_error(
            settings.run, f"evaluated on {own.eval_split!r} already", "a run evaluated on another"
        )
    update = {
        "eval_split": settings.split,
        "run_dir": settings.run / FOLDER,
        "embeddings": own.embeddings or settings.run / "embeddings",
        "overwrite": settings.overwrite,
        "cpu_threads": settings.cpu_threads,
    }
    return own.model_copy(update=update)


def _run_error(run: Path, value: str, expected: str) -> InputError:
    remedy = "Give run=<folder of a finished run of finetune/main.py>."
    return InputError(f"run {run}", value=value, expected=expected, remedy=remedy)

"""Checks before a detector is trained: folder for results, leakage, lacking leads."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from finetune.anomaly.evaluation.normals import AnomalyTask, LabelledRecordings
from finetune.anomaly.evaluation.threshold_rules import ABNORMAL
from finetune.anomaly.run_settings import AnomalySettings
from finetune.data.audit import audit_leakage
from finetune.data.tasks import LabelledRows, Task
from finetune.data.usable import check_leads
from finetune.data.windows import loader_options
from finetune.overwriting import check_free, clear_results
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.files import make_folder
from lamae.storage.corpus import Corpus


def make_run_dir(settings: AnomalySettings) -> Path:
    """Make run_dir, or a new folder in runs/.

    Raises InputError where there can be none, or results would be lost.
    """
    named = f"anomaly-{settings.kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    run_dir = settings.run_dir or Path("runs") / named
    try:
        make_folder(run_dir)
    except OSError as error:
        raise InputError(
            f"run folder {run_dir}",
            value=error.strerror or "cannot be made",
            expected="a folder, or a place for one",
            remedy="Give another run_dir=.",
        ) from None
    check_free(run_dir, overwrite=settings.overwrite)
    clear_results(run_dir)
    return run_dir


def audit_task(corpus: Corpus, task: AnomalyTask, settings: AnomalySettings) -> dict[str, Any]:
    """Audit for leakage; what pretraining saw of the threshold's recordings is told, no error.

    An encoder is mostly pretrained on the training split, from which these are held out.
    """
    held_out = task.validation.rows
    audit = audit_leakage(
        corpus,
        np.concatenate([task.train, held_out]),
        task.evaluation.rows,
        settings,
        encoder=settings.encoder,
        split=settings.eval_split,
    )
    if settings.encoder is None:
        return audit
    both = {"allow_overlap": ("pretraining_patients", "pretraining_recordings")}
    known = audit_leakage(
        corpus,
        held_out[:0],
        held_out,
        settings.model_copy(update=both),
        encoder=settings.encoder,
        split=settings.train_split,
    )
    seen = known["pretraining"]
    if seen.get("recordings") or seen.get("patients"):
        audit["sentences"].append(
            f"Thresholds were chosen on {len(held_out)} recordings, of which pretraining saw "
            f"{seen['recordings']}, and of their patients {seen['patients'] or 0}: the encoder may "
            "err less there than on others, whose specificity is then below what the rule says."
        )
    return audit | {"thresholds": seen}


def check_task_leads(
    corpus: Corpus, task: AnomalyTask, preprocess: Preprocessor, settings: AnomalySettings
) -> None:
    """Raise InputError where too many recordings of a part lack leads, by the index alone."""
    patients = corpus.patients[task.train].tolist()
    train = LabelledRecordings(task.train, np.zeros(len(task.train), dtype=bool), patients)
    labelled = [
        LabelledRows(part.rows, part.abnormal[:, None], part.patients, 0, 0)
        for part in (train, task.validation, task.evaluation)
    ]
    for part in labelled[:2]:
        check_leads(
            corpus,
            preprocess,
            Task((ABNORMAL,), part, labelled[2]),
            min_leads=loader_options(preprocess, settings).min_leads,
            max_unusable=settings.max_unusable,
        )

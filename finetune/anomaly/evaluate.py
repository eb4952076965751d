"""Evaluation of a saved detector on labelled recordings of any other shards."""

from pathlib import Path
from typing import Any

import numpy as np

from finetune.anomaly.detector.folder import LoadedDetector, load_detector
from finetune.anomaly.evaluation.findings import anomaly_findings
from finetune.anomaly.evaluation.measures import measure
from finetune.anomaly.evaluation.normals import label_recordings
from finetune.anomaly.evaluation.results import leave_results, measured_summary, score_part
from finetune.anomaly.evaluation.threshold_rules import ABNORMAL
from finetune.anomaly.run_settings import AnomalyEvaluateSettings
from finetune.anomaly.settings import RuleName
from finetune.data.audit import audit_other_shards
from finetune.data.usable import by_reason
from finetune.data.windows import loader_options
from finetune.overwriting import check_apart, check_free, clear_results
from finetune.processes import start_single
from lamae.errors import InputError
from lamae.remote.locations import as_location
from lamae.runs.tracking import run_summary
from lamae.statistics.thresholds import Thresholds
from lamae.storage.corpus import Corpus


def evaluate_detector(settings: AnomalyEvaluateSettings) -> list[str]:
    """Evaluate a detector by its own score and threshold, and return what was found as sentences.

    Raises InputError for a detector without a threshold, labels that tell nothing, and leakage.
    """
    device = start_single(settings).device
    check_free(settings.run_dir, overwrite=settings.overwrite)
    check_apart(settings.run_dir, settings.detector, settings.detector.parent)
    loaded = load_detector(settings.detector)
    rule, thresholds = _thresholds(loaded, settings)
    corpus = Corpus(settings.data, **settings.caching)
    detector, decision = loaded.detector.to(device), loaded.decision
    labelled = label_recordings(
        corpus,
        corpus.rows_of(settings.splits),
        named=f"shards {settings.data}",
        label_set=settings.label_set,
        normal_class=settings.normal_class,
        rule=settings.normal_rule,
    )
    audit = _audit(corpus, labelled.rows, loaded, settings)
    clear_results(settings.run_dir)
    evaluation = score_part(
        detector,
        corpus,
        labelled,
        loader_options(detector.architecture.preprocess, settings),
        over=decision.over,
        max_unusable=settings.max_unusable,
        name="evaluation",
    )
    measured = measure(
        evaluation.columns(detector),
        evaluation.labelled,
        {rule: thresholds},
        chosen=decision.score,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    counts = {
        "recordings": len(evaluation.labelled.rows),
        "abnormal": int(evaluation.labelled.abnormal.sum()),
    }
    summary = run_summary(
        settings,
        seed=settings.seed,
        counts={"evaluation": counts},
        unusable=by_reason(evaluation.found.unusable),
        **measured_summary(detector, measured, decision.score, rule),
        audit=audit,
    )
    findings = [*anomaly_findings(summary), *audit["sentences"]]
    return leave_results(
        settings.run_dir,
        corpus,
        detector,
        evaluation,
        measured,
        decision,
        summary,
        findings=findings,
    )


def _thresholds(
    loaded: LoadedDetector, settings: AnomalyEvaluateSettings
) -> tuple[RuleName, Thresholds]:
    """Return the threshold that the detector keeps, and the rule that chose it."""
    threshold = loaded.decision.threshold
    if threshold is None:
        raise InputError(
            f"detector {settings.detector}",
            value="no threshold: its run was interrupted",
            expected="a detector of a finished run",
            remedy="Finish it, or take its scores alone with anomaly_score.",
        )
    rule: RuleName = loaded.about["settings"]["rule"]
    return rule, Thresholds(np.array([threshold]), (ABNORMAL,), (), frozenset())


def _audit(
    corpus: Corpus, rows: np.ndarray, loaded: LoadedDetector, settings: AnomalyEvaluateSettings
) -> dict[str, Any]:
    own = loaded.about["settings"]
    pretraining = settings.pretraining_data or own["pretraining_data"]
    shards = tuple(map(as_location, pretraining)) if pretraining else None
    return audit_other_shards(
        corpus,
        rows,
        settings.model_copy(update={"pretraining_data": shards}),
        encoder=Path(own["encoder"]) if own["encoder"] else None,
        split=" ".join(settings.splits or ("all",)),
        learnt_from=as_location(own["data"]),
        learnt_split=own["train_split"],
        digest=loaded.about.get("corpus"),
    )

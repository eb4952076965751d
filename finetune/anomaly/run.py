"""A run: learn normal recordings, choose thresholds, evaluate on other patients, report."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from finetune.anomaly.checks import (
    audit_task,
    check_task_leads,
    make_run_dir,
)
from finetune.anomaly.detector.detectors import Detector
from finetune.anomaly.detector.folder import DETECTOR_FOLDER, Decision, save_detector
from finetune.anomaly.detector.training import Learnt, learn, learn_latents
from finetune.anomaly.evaluation.findings import anomaly_findings, learnt_sentence
from finetune.anomaly.evaluation.measures import Measured, measure
from finetune.anomaly.evaluation.normals import AnomalyTask, make_anomaly_task
from finetune.anomaly.evaluation.results import (
    ScoredPart,
    leave_results,
    measured_summary,
    score_part,
)
from finetune.anomaly.evaluation.threshold_rules import RULES, choose_threshold
from finetune.anomaly.run_settings import AnomalySettings
from finetune.anomaly.settings import Architecture, RuleName
from finetune.data.usable import by_reason
from finetune.data.windows import MISSING_LEADS, loader_options
from finetune.encoders.opening import agreed_preprocessor
from finetune.processes import start_single
from lamae.batches.dataset import Split
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.model.autoencoder import LAMAE
from lamae.model.checkpoint import load_autoencoder
from lamae.runs.tracking import run_summary
from lamae.statistics.thresholds import Thresholds
from lamae.storage.corpus import Corpus

WINDOW_SAMPLES = 500
"""Samples of a window where none are asked for."""

_BAND_HZ = (0.5, 40.0)


def detect(settings: AnomalySettings) -> list[str]:
    """Do a run, and return what it found as sentences."""
    device, started = start_single(settings).device, time.monotonic()
    corpus = Corpus(settings.data, **settings.caching)
    task = make_anomaly_task(
        corpus,
        label_set=settings.label_set,
        normal_class=settings.normal_class,
        rule=settings.normal_rule,
        splits=(settings.train_split, settings.eval_split),
        hold_out=settings.hold_out,
        seed=settings.seed,
    )
    audit = audit_task(corpus, task, settings)
    detector = new_detector(settings, corpus).to(device)
    check_task_leads(corpus, task, detector.architecture.preprocess, settings)
    run_dir = make_run_dir(settings)
    about = {"settings": settings.model_dump(mode="json"), "corpus": corpus.digest}
    save = partial(save_detector, run_dir / DETECTOR_FOLDER, detector, about=about)
    undecided = Decision(score=settings.deciding_score, over=settings.over, threshold=None)
    learnt = _learn(detector, corpus, task, settings, partial(save, undecided))
    trained = time.monotonic()
    reading = loader_options(detector.architecture.preprocess, settings)
    validation, evaluation = (
        score_part(
            detector,
            corpus,
            labelled,
            reading,
            over=settings.over,
            max_unusable=settings.max_unusable,
            name=name,
        )
        for name, labelled in (("validation", task.validation), ("evaluation", task.evaluation))
    )
    thresholds = _thresholds(detector, validation, settings)
    measured = measure(
        evaluation.columns(detector),
        evaluation.labelled,
        thresholds,
        chosen=settings.deciding_score,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    threshold = float(thresholds[settings.rule].values[0])
    decision = undecided.model_copy(update={"threshold": threshold})
    save(decision)
    seconds = {"training": trained - started, "scoring": time.monotonic() - trained}
    parts = {"validation": validation, "evaluation": evaluation}
    summary = _summary(settings, detector, parts, learnt, measured)
    summary["counts"]["without_class"] = task.without_class
    summary |= {"seconds": seconds, "audit": audit}
    findings = [*anomaly_findings(summary), learnt_sentence(summary), *audit["sentences"]]
    return leave_results(
        run_dir, corpus, detector, evaluation, measured, decision, summary, findings=findings
    )


def new_detector(settings: AnomalySettings, corpus: Corpus) -> Detector:
    """Build the detector that the settings ask for; weights are those of the seed or pretrained.

    Raises InputError for another preprocessor than that of the encoder.
    """
    network: LAMAE | None = None
    preprocess = settings.preprocess
    if settings.encoder is not None:
        network, own = load_autoencoder(settings.encoder)
        preprocess = agreed_preprocessor(preprocess, own, encoder=settings.encoder)
    if preprocess is None:
        preprocess = windows_of_500(corpus, corpus.rows(settings.train_split))
    architecture = Architecture(
        kind=settings.kind,
        preprocess=preprocess,
        vae=settings.vae,
        autoencoder=None if network is None else network.settings,
        masks=settings.masks,
        pooling=settings.pooling,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return Detector(architecture, network)


def windows_of_500(corpus: Corpus, rows: np.ndarray) -> Preprocessor:
    """Return windows of 500 samples at the most frequent rate of some recordings."""
    rate = int(np.bincount(corpus.lengths(rows)[1]).argmax())
    return Preprocessor(
        leads=LEADS,
        sampling_rate=rate,
        duration_s=WINDOW_SAMPLES / rate,
        band_hz=_BAND_HZ,
        normalisation="lead",
    )


def _learn(
    detector: Detector,
    corpus: Corpus,
    task: AnomalyTask,
    settings: AnomalySettings,
    save: Callable[[], None],
) -> Learnt:
    """Learn the normal recordings that have enough leads, and save the best detector so far."""
    preprocess = detector.architecture.preprocess
    reading = loader_options(detector.architecture.preprocess, settings)

    def with_leads(rows: np.ndarray) -> Split:
        present = Split(corpus, rows, preprocess).present(np.arange(len(rows)))
        enough = present.sum(axis=1) >= reading.min_leads
        return Split(corpus, rows[enough], preprocess, replace_unusable=True)

    train = with_leads(task.train)
    if settings.kind == "lamae":
        learnt = learn_latents(detector, train, reading, progress="learn normals")
        save()
    else:
        learnt = learn(
            detector,
            train,
            with_leads(task.validation.normals),
            settings.training,
            seed=settings.seed,
            progress="learn normals",
            save=save,
        )
    short = corpus.keys[np.setdiff1d(task.train, train.rows)].tolist()
    return learnt._replace(unusable=dict.fromkeys(short, MISSING_LEADS) | learnt.unusable)


def _thresholds(
    detector: Detector, validation: ScoredPart, settings: AnomalySettings
) -> dict[RuleName, Thresholds]:
    labelled, found = validation
    score = found.column(detector, settings.deciding_score)
    return {
        rule: choose_threshold(rule, labelled.abnormal, score, labelled.patients, settings.rules)
        for rule in RULES
    }


def _summary(
    settings: AnomalySettings,
    detector: Detector,
    parts: dict[str, ScoredPart],
    learnt: Learnt,
    measured: Measured,
) -> dict[str, Any]:
    counts: dict[str, Any] = {
        name: {"recordings": len(labelled.rows), "abnormal": int(labelled.abnormal.sum())}
        for name, (labelled, _) in parts.items()
    }
    unusable = {"train": learnt.unusable} | {n: part.found.unusable for n, part in parts.items()}
    return run_summary(
        settings,
        seed=settings.seed,
        counts=counts | {"training": {"recordings": learnt.recordings, "windows": learnt.windows}},
        unusable={name: by_reason(reasons) for name, reasons in unusable.items()},
        **measured_summary(detector, measured, settings.deciding_score, settings.rule),
        history=learnt.history,
        best_step=learnt.best,
    )

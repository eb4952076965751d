"""A run: learn normal recordings, choose thresholds, judge other patients, and report."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from finetune.anomaly.checks import (
    audit_task,
    check_task_leads,
    least_leads,
    make_run_dir,
)
from finetune.anomaly.detector_folder import DETECTOR_FOLDER, Decision, save_detector
from finetune.anomaly.detectors import Detector
from finetune.anomaly.findings import anomaly_findings, figures
from finetune.anomaly.measures import Measured, as_numbers, measure
from finetune.anomaly.normals import AnomalyTask, Judged, make_anomaly_task
from finetune.anomaly.recordings import RecordingScores, score_recordings
from finetune.anomaly.report import measure_sections
from finetune.anomaly.run_settings import AnomalySettings
from finetune.anomaly.score_file import SCORES_FILE, write_scores
from finetune.anomaly.settings import Architecture
from finetune.anomaly.training import Learnt, learn, learn_latents
from finetune.contenders import agreed_preprocessor
from finetune.reports.page import write_report
from finetune.usable import by_reason, check_unusable
from finetune.windows import MISSING_LEADS, Reading
from lamae.autoencoder import LAMAE
from lamae.checkpoint import load_autoencoder
from lamae.corpus import Corpus
from lamae.dataset import Split
from lamae.files import write_json
from lamae.leads import LEADS
from lamae.preprocess import Preprocessor
from lamae.tracking import SUMMARY, run_summary

WINDOW_SAMPLES = 500
"""Samples of a window where none are asked for."""

_BAND_HZ = (0.5, 40.0)


class ScoredPart(NamedTuple):
    """Scores of recordings, with those left out that could not be used."""

    judged: Judged
    """The recordings that could be used."""
    found: RecordingScores
    """Their scores, in the same order."""


def detect(settings: AnomalySettings, device: torch.device) -> list[str]:
    """Do a run, and return what it found as sentences."""
    started = time.monotonic()
    corpus = Corpus(settings.data)
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
    about = {"settings": settings.model_dump(mode="json")}
    save = partial(save_detector, run_dir / DETECTOR_FOLDER, detector, about=about)
    undecided = Decision(score=settings.deciding_score, over=settings.over, threshold=None)
    learnt = _learn(detector, corpus, task, settings, partial(save, undecided))
    trained = time.monotonic()
    validation = _score(detector, corpus, task.validation, settings, "validation")
    evaluation = _score(detector, corpus, task.evaluation, settings, "evaluation")
    measured = measure(
        {name: evaluation.found.column(detector, name) for name in detector.architecture.scores},
        evaluation.judged,
        validation.found.column(detector, settings.deciding_score),
        validation.judged,
        chosen=settings.deciding_score,
        rules=settings.rules,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    threshold = float(measured.thresholds[settings.rule].values[0])
    decision = undecided.model_copy(update={"threshold": threshold})
    save(decision)
    seconds = {"training": trained - started, "scoring": time.monotonic() - trained}
    parts = {"validation": validation, "evaluation": evaluation}
    summary = _summary(settings, detector, parts, learnt, measured)
    summary["counts"]["without_class"] = task.without_class
    summary |= {"seconds": seconds, "audit": audit}
    findings = _report(run_dir, corpus, detector, evaluation, measured, decision, summary)
    write_json(run_dir / SUMMARY, summary)  # last: it tells that the run is complete
    return [*findings, f"Report: {run_dir / 'report.html'}"]


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


def _reading(detector: Detector, settings: AnomalySettings) -> Reading:
    least = least_leads(detector.architecture.preprocess, settings)
    return Reading(settings.batch_size, least, settings.data_workers)


def _learn(
    detector: Detector,
    corpus: Corpus,
    task: AnomalyTask,
    settings: AnomalySettings,
    save: Callable[[], None],
) -> Learnt:
    """Learn the normal recordings that have enough leads, and save the best detector so far."""
    preprocess = detector.architecture.preprocess
    reading = _reading(detector, settings)

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


def _score(
    detector: Detector, corpus: Corpus, judged: Judged, settings: AnomalySettings, name: str
) -> ScoredPart:
    found = score_recordings(
        detector,
        Split(corpus, judged.rows, detector.architecture.preprocess),
        _reading(detector, settings),
        over=settings.over,
        name=f"score {name}",
    )
    check_unusable(name, found.unusable, len(judged.rows), settings.max_unusable)
    kept = np.isin(np.arange(len(judged.rows)), found.positions)
    return ScoredPart(judged.where(kept), found)


def _summary(
    settings: AnomalySettings,
    detector: Detector,
    parts: dict[str, ScoredPart],
    learnt: Learnt,
    measured: Measured,
) -> dict[str, Any]:
    counts: dict[str, Any] = {
        name: {"recordings": len(judged.rows), "abnormal": int(judged.abnormal.sum())}
        for name, (judged, _) in parts.items()
    }
    unusable = {"train": learnt.unusable} | {n: part.found.unusable for n, part in parts.items()}
    return run_summary(
        settings,
        seed=settings.seed,
        counts=counts | {"training": {"recordings": learnt.recordings, "windows": learnt.windows}},
        unusable={name: by_reason(reasons) for name, reasons in unusable.items()},
        parameters=sum(p.numel() for p in detector.network.parameters()),
        score=settings.deciding_score,
        rule=settings.rule,
        ranking={name: as_numbers(found) for name, found in measured.ranking.items()},
        deciding={
            rule: {"threshold": float(measured.thresholds[rule].values[0])} | as_numbers(found)
            for rule, found in measured.deciding.items()
        },
        history=learnt.history,
        best_step=learnt.best,
    )


def _report(
    run_dir: Path,
    corpus: Corpus,
    detector: Detector,
    evaluation: ScoredPart,
    measured: Measured,
    decision: Decision,
    summary: dict[str, Any],
) -> list[str]:
    judged, found = evaluation
    score = found.column(detector, decision.score)
    assert decision.threshold is not None, "it was chosen before"
    write_scores(
        run_dir / SCORES_FILE,
        detector.architecture.scores,
        corpus.keys[judged.rows].tolist(),
        found.scores,
        called=score >= decision.threshold,
        problems=found.unusable,
        abnormal=judged.abnormal,
    )
    findings = anomaly_findings(summary)
    write_report(
        run_dir / "report.html",
        title=f"LAMAE: abnormal recordings by {detector.architecture.kind}",
        findings=findings,
        summary=summary,
        sections=[
            *measure_sections(measured, score=decision.score, rule=summary["rule"]),
            *figures(corpus, detector, judged, score, measured, decision),
        ],
    )
    return findings

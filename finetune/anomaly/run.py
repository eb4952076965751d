"""A run: learn normal recordings, choose thresholds, judge other patients, and report."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from finetune.anomaly.detector_folder import DETECTOR_FOLDER, Decision, save_detector
from finetune.anomaly.detectors import Detector
from finetune.anomaly.findings import anomaly_findings, figures
from finetune.anomaly.measures import Measured, as_numbers, measure
from finetune.anomaly.normals import AnomalyTask, Judged, make_anomaly_task
from finetune.anomaly.recordings import RecordingScores, score_recordings
from finetune.anomaly.report import measure_tables, write_anomaly_report
from finetune.anomaly.run_settings import AnomalySettings
from finetune.anomaly.score_file import write_scores
from finetune.anomaly.settings import Architecture
from finetune.anomaly.training import Learnt, learn, learn_latents
from finetune.audit import audit_leakage
from finetune.results import check_free
from finetune.usable import check_unusable
from finetune.windows import Reading
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
SCORES_FILE = "scores.csv"
"""Where a run keeps the scores of the evaluation split."""


class ScoredPart(NamedTuple):
    """Scores of recordings, with those left out that could not be used."""

    judged: Judged
    """The recordings that could be used."""
    found: RecordingScores
    """Their scores, in the same order."""


def detect(settings: AnomalySettings, device: torch.device) -> list[str]:
    """Do a run, and return what it found as sentences."""
    started = time.monotonic()
    run_dir = choose_run_dir(settings)
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
    learnt_from = np.concatenate([task.train, task.validation.rows])
    audit = audit_leakage(corpus, learnt_from, task.evaluation.rows, settings)
    detector = new_detector(settings, corpus).to(device)
    learnt = _learn(detector, corpus, task, settings)
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
    decision = Decision(
        score=settings.deciding_score,
        over=settings.over,
        threshold=float(measured.thresholds[settings.rule].values[0]),
    )
    seconds = {"training": trained - started, "scoring": time.monotonic() - trained}
    summary = _summary(settings, detector, task, learnt, measured) | {
        "seconds": seconds,
        "audit": audit,
    }
    save_detector(
        run_dir / DETECTOR_FOLDER, detector, decision, about={"settings": summary["config"]}
    )
    findings = _report(run_dir, corpus, detector, evaluation, measured, decision, summary)
    write_json(run_dir / SUMMARY, summary)  # last: it tells that the run is complete
    return [*findings, f"Report: {run_dir / 'report.html'}"]


def choose_run_dir(settings: AnomalySettings) -> Path:
    """Return run_dir, or a new folder in runs/; raises InputError where results would be lost."""
    if settings.run_dir is None:
        return Path("runs") / f"anomaly-{settings.kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    check_free(settings.run_dir, overwrite=settings.overwrite)
    return settings.run_dir


def new_detector(settings: AnomalySettings, corpus: Corpus) -> Detector:
    """Build the detector that the settings ask for; weights are those of the seed or pretrained."""
    network: LAMAE | None = None
    preprocess = settings.preprocess
    if settings.encoder is not None:
        network, own = load_autoencoder(settings.encoder)
        preprocess = preprocess or own
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
    leads = len(detector.architecture.preprocess.leads)
    least = min(settings.min_leads or leads, leads)
    return Reading(settings.batch_size, least, settings.data_workers)


def _learn(
    detector: Detector, corpus: Corpus, task: AnomalyTask, settings: AnomalySettings
) -> Learnt:
    preprocess = detector.architecture.preprocess
    train = Split(corpus, task.train, preprocess, replace_unusable=True)
    if settings.kind == "lamae":
        reading = _reading(detector, settings)
        return learn_latents(detector, train, reading, progress="learn normals")
    held_out = Split(corpus, task.validation.normals, preprocess, replace_unusable=True)
    return learn(
        detector,
        train,
        held_out,
        settings.training,
        seed=settings.seed,
        progress="learn normals",
    )


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
    task: AnomalyTask,
    learnt: Learnt,
    measured: Measured,
) -> dict[str, Any]:
    parts = {"validation": task.validation, "evaluation": task.evaluation}
    counts: dict[str, Any] = {
        name: {"recordings": len(part.rows), "abnormal": int(part.abnormal.sum())}
        for name, part in parts.items()
    }
    return run_summary(
        settings,
        seed=settings.seed,
        counts=counts
        | {"training": {"recordings": len(task.train), "windows": learnt.windows}}
        | {"without_class": task.without_class},
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
    write_anomaly_report(
        run_dir / "report.html",
        title=f"LAMAE: abnormal recordings by {detector.architecture.kind}",
        findings=findings,
        tables=measure_tables(measured, score=decision.score, rule=summary["rule"]),
        figures=figures(corpus, detector, judged, score, measured, decision),
        summary=summary,
    )
    return findings

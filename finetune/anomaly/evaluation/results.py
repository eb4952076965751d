"""Scores of labelled recordings, and the results of a run as files."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from finetune.anomaly.detector.detectors import Detector
from finetune.anomaly.detector.folder import Decision
from finetune.anomaly.detector.recordings import RecordingScores, score_recordings
from finetune.anomaly.evaluation.findings import figures
from finetune.anomaly.evaluation.measures import Measured, as_numbers
from finetune.anomaly.evaluation.normals import LabelledRecordings
from finetune.anomaly.evaluation.report import measure_sections
from finetune.anomaly.evaluation.score_table import SCORES_FILE, write_scores
from finetune.anomaly.settings import Over, RuleName
from finetune.data.usable import check_unusable
from finetune.data.windows import LoaderOptions
from finetune.reports.page import write_report
from lamae.batches.dataset import Split
from lamae.files import write_json
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus


class ScoredPart(NamedTuple):
    """Scores of recordings, with those left out that could not be used."""

    labelled: LabelledRecordings
    """The recordings that could be used."""
    found: RecordingScores
    """Their scores, in the same order."""

    def columns(self, detector: Detector) -> dict[str, np.ndarray]:
        """Return each score of the detector, float (records,), by its name."""
        return {name: self.found.column(detector, name) for name in detector.architecture.scores}


def score_part(
    detector: Detector,
    corpus: Corpus,
    labelled: LabelledRecordings,
    reading: LoaderOptions,
    *,
    over: Over,
    max_unusable: float,
    name: str,
) -> ScoredPart:
    """Score recordings; raises InputError where more than the share `max_unusable` cannot be."""
    found = score_recordings(
        detector,
        Split(corpus, labelled.rows, detector.architecture.preprocess),
        reading,
        over=over,
        name=f"score {name}",
    )
    check_unusable(name, found.unusable, len(labelled.rows), max_unusable)
    kept = np.isin(np.arange(len(labelled.rows)), found.positions)
    return ScoredPart(labelled.where(kept), found)


def measured_summary(
    detector: Detector, measured: Measured, score: str, rule: RuleName
) -> dict[str, Any]:
    """Return what summary.json holds of the measures."""
    return {
        "parameters": sum(p.numel() for p in detector.network.parameters()),
        "score": score,
        "rule": rule,
        "ranking": {name: as_numbers(found) for name, found in measured.ranking.items()},
        "deciding": {
            name: {"threshold": float(measured.thresholds[name].values[0])} | as_numbers(found)
            for name, found in measured.deciding.items()
        },
    }


def leave_results(
    run_dir: Path,
    corpus: Corpus,
    detector: Detector,
    evaluation: ScoredPart,
    measured: Measured,
    decision: Decision,
    summary: dict[str, Any],
    *,
    findings: list[str],
) -> list[str]:
    """Write scores.csv, report.html and last summary.json; return what was found."""
    labelled, found = evaluation
    score = found.column(detector, decision.score)
    assert decision.threshold is not None, "it was chosen before"
    write_scores(
        run_dir / SCORES_FILE,
        detector.architecture.scores,
        corpus.keys[labelled.rows].tolist(),
        found.scores,
        called=score >= decision.threshold,
        problems=found.unusable,
        abnormal=labelled.abnormal,
    )
    write_report(
        run_dir / "report.html",
        title=f"LAMAE: abnormal recordings by {detector.architecture.kind}",
        findings=findings,
        summary=summary,
        sections=[
            *measure_sections(measured, score=decision.score, rule=summary["rule"]),
            *figures(corpus, detector, labelled, score, measured, decision),
        ],
    )
    write_json(run_dir / SUMMARY, summary)  # last: it tells that the run is complete
    return [*findings, f"Report: {run_dir / 'report.html'}"]

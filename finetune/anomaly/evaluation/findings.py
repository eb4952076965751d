"""Findings of a run, as sentences and as figures."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from finetune.anomaly.detector.detectors import Detector
from finetune.anomaly.detector.folder import Decision
from finetune.anomaly.evaluation.measures import Measured
from finetune.anomaly.evaluation.normals import LabelledRecordings
from finetune.anomaly.evaluation.picture import (
    BIN_S,
    binned,
    deviation_paper,
    operating_curve,
    score_histogram,
    stitch,
)
from finetune.reports.page import interval_of
from finetune.reports.sections import NamedFigure, Section
from lamae.batches.dataset import Split
from lamae.storage.corpus import Corpus

_FULL_COLOUR = 99.0


def anomaly_findings(summary: dict[str, Any]) -> list[str]:
    """Return what a run found, the most important first."""
    name, counts = summary["score"], summary["counts"]
    ranking, deciding = summary["ranking"][name], summary["deciding"][summary["rule"]]
    evaluated = counts["evaluation"]
    return [
        f"Abnormal recordings stand out with an AUROC of {interval_of(ranking['auroc'])}, "
        f"by score {name}.",
        "At 90 % specificity it finds "
        f"{interval_of(ranking['sensitivity_at_90_specificity'])} of them; AUPRC is "
        f"{interval_of(ranking['auprc'])} where "
        f"{evaluated['abnormal'] / evaluated['recordings']:.3f} of the recordings are abnormal.",
        f"The threshold of held-out training patients by rule {summary['rule']} achieves a "
        f"sensitivity of {interval_of(deciding['sensitivity'])} and a specificity of "
        f"{interval_of(deciding['specificity'])}.",
    ]


def learnt_sentence(summary: dict[str, Any]) -> str:
    """Say which recordings a detector was trained and evaluated on."""
    evaluated, trained = (summary["counts"][name] for name in ("evaluation", "training"))
    return (
        f"It learnt from {trained['windows']:,} windows of {trained['recordings']:,} normal "
        f"recordings and was evaluated on {evaluated['recordings']:,} recordings of other patients."
    )


def figures(
    corpus: Corpus,
    detector: Detector,
    labelled: LabelledRecordings,
    score: np.ndarray,
    measured: Measured,
    decision: Decision,
) -> list[Section]:
    """Show the curve, the histogram, and two recordings on ECG paper in colours of one scale."""
    assert decision.threshold is not None, "a run that ends has chosen one"
    points: dict[str, tuple[float, float]] = {
        rule: (found["specificity"].estimate, found["sensitivity"].estimate)
        for rule, found in measured.deciding.items()
    }
    normal = np.flatnonzero(~labelled.abnormal)
    typical = int(normal[np.argsort(score[normal], kind="stable")[len(normal) // 2]])
    return [
        _section(
            "Operating curve",
            "operating_curve",
            operating_curve(labelled.abnormal, score, points),
            "The curve is that of the evaluation recordings; the points are where thresholds "
            "come to lie that were chosen on others.",
        ),
        _section(
            "Scores",
            "scores",
            score_histogram(
                labelled.abnormal,
                score,
                threshold=decision.threshold,
                name=f"score {decision.score}",
            ),
            "The highest hundredth of the scores stands in the last bar.",
        ),
        *_papers(corpus, detector, labelled, score, (int(score.argmax()), typical)),
    ]


def _papers(
    corpus: Corpus,
    detector: Detector,
    labelled: LabelledRecordings,
    score: np.ndarray,
    chosen: tuple[int, int],
) -> list[Section]:
    preprocess = detector.architecture.preprocess
    data = Split(corpus, labelled.rows, preprocess)
    stitched = [stitch(detector, data, position) for position in chosen]
    fields = [binned(each.deviation, preprocess.sampling_rate).ravel() for each in stitched]
    highest = float(np.percentile(np.concatenate(fields), _FULL_COLOUR))
    sections = []
    titles = ("The highest score", "A typical normal recording")
    for title, position, each in zip(titles, chosen, stitched, strict=True):
        truth = "abnormal" if labelled.abnormal[position] else "normal"
        name = f"Recording {corpus.keys[labelled.rows[position]]}, labelled {truth}"
        paper = deviation_paper(
            each,
            preprocess.leads,
            sampling_rate=preprocess.sampling_rate,
            highest=highest or 1.0,
            title=f"{name}, score {score[position]:.4g}",
        )
        caption = (
            f"Red is where the signal is not what the detector expects, in fields of {BIN_S:g} s; "
            "both recordings in colours of one scale, full from the 99th percentile of their "
            "fields on."
        )
        sections.append(_section(title, title.lower().replace(" ", "_"), paper, caption))
    return sections


def _section(title: str, name: str, figure: Figure, caption: str) -> Section:
    return Section(title, figures=[NamedFigure(name, figure, caption)])

"""Scores of recordings as a file, by a detector that was saved."""

from finetune.anomaly.detector.folder import load_detector
from finetune.anomaly.detector.recordings import score_recordings
from finetune.anomaly.evaluation.score_table import write_scores
from finetune.anomaly.run_settings import AnomalyScoreSettings
from finetune.data.windows import loader_options
from finetune.overwriting import check_output
from finetune.processes import start_single
from lamae.batches.dataset import Split
from lamae.storage.corpus import Corpus


def score_file(settings: AnomalyScoreSettings) -> list[str]:
    """Score the recordings, write the file, and return what was done in one sentence."""
    device = start_single(settings).device
    check_output(settings.output, overwrite=settings.overwrite, holds="other scores")
    detector, decision, _ = load_detector(settings.detector)
    corpus = Corpus(settings.data, **settings.caching)
    rows = corpus.rows_of(settings.splits)
    found = score_recordings(
        detector.to(device),
        Split(corpus, rows, detector.architecture.preprocess),
        loader_options(detector.architecture.preprocess, settings),
        over=decision.over,
        name="score",
    )
    score = found.column(detector, decision.score)
    write_scores(
        settings.output,
        detector.architecture.scores,
        corpus.keys[rows[found.positions]].tolist(),
        found.scores,
        called=None if decision.threshold is None else score >= decision.threshold,
        problems=found.unusable,
    )
    told = f"{len(found.positions)} recordings scored, {len(found.unusable)} unusable"
    return [f"{told}: {settings.output}"]

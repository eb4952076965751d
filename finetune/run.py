"""One run: data, candidates, training, evaluation, report.

Leaves in run_dir: classifier/, predictions.csv, report.html, its figures/ and tables/, embeddings
of probes, and when all is done summary.json.
"""

import sys
import time
from pathlib import Path

from accelerate import Accelerator

from finetune.classifiers.folder import CLASSIFIER_FOLDER
from finetune.data.audit import audit_leakage
from finetune.data.tasks import make_task
from finetune.evaluation.assessment import Assessment, assess, challenge_weights
from finetune.evaluation.cohort import cohort_summary
from finetune.evaluation.group_results import groups_summary, measure_groups
from finetune.evaluation.lead_masking import check_lead_masking, find_lead_need
from finetune.evaluation.occlusion import find_evidence
from finetune.evaluation.operating_points import exclusive_columns
from finetune.evaluation.recording_facts import group_facts
from finetune.experiment.candidates import make_candidates
from finetune.experiment.resume import SavedProgress, about_run
from finetune.experiment.resume_training import PROGRESS
from finetune.experiment.train_and_score import Experiment
from finetune.openings import TEST, log_opening
from finetune.overwriting import check_free, clear_results
from finetune.processes import from_main, start
from finetune.reports.assessment_sections import score_sections
from finetune.reports.checklist import checklist_section
from finetune.reports.cohort_section import cohort_section, plain_section
from finetune.reports.ecgs.occlusion_section import occlusion_section, occlusion_summary
from finetune.reports.findings import counts, doubts, mean_lead_weights, sentences
from finetune.reports.group_section import group_sections
from finetune.reports.lead_sections import lead_need_summary, lead_sections
from finetune.reports.results import keep_predictions, report, saver, warn_of_unusable
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Split
from lamae.files import write_json
from lamae.runs.tracking import SUMMARY, run_summary
from lamae.storage.corpus import Corpus


def finetune(settings: FinetuneSettings, *, logs_opening: bool = True) -> list[str]:
    """Train the classifier and its baselines, score all on the same patients, and report.

    Returns what was found as sentences, on the main process. An evaluation on the test split is
    noted in the run's folder, unless a caller does it. Raises a KeyboardInterrupt that says what is
    left of a run that was interrupted.
    """
    accelerator = start(settings, precision=settings.precision)
    run_dir = from_main(accelerator, lambda: choose_run_dir(settings))
    try:
        own = settings.model_copy(update={"run_dir": run_dir})
        return _run(own, run_dir, accelerator, logs_opening=logs_opening)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(interruption(settings, run_dir)) from None


def _run(
    settings: FinetuneSettings, run_dir: Path, accelerator: Accelerator, *, logs_opening: bool
) -> list[str]:
    started = time.monotonic()
    check_free(run_dir, overwrite=settings.overwrite)

    # data
    corpus = Corpus(settings.data, **settings.caching)
    task = make_task(corpus, settings)
    facts = group_facts(corpus, settings.groups)
    if logs_opening and settings.eval_split == TEST and accelerator.is_main_process:
        rows = corpus.rows(settings.eval_split)
        log_opening(run_dir, split=TEST, recordings=len(rows), shards=corpus.digest)
    audit = audit_leakage(
        corpus,
        task.train.rows,
        task.evaluation.rows,
        settings,
        encoder=settings.encoder,
        split=settings.eval_split,
    )

    # candidates
    candidates = make_candidates(settings, task.classes)
    challenge = challenge_weights(settings, task.classes)
    exclusive_columns(task.classes, settings.exclusive)  # an unknown name is said before training
    about = about_run(settings, corpus, candidates)
    progress = SavedProgress(run_dir / PROGRESS, about, accelerator=accelerator)
    experiment = Experiment(
        corpus,
        task,
        candidates,
        settings,
        accelerator=accelerator,
        cache=settings.embeddings or run_dir / "embeddings",
        progress=progress,
    )
    if settings.lead_masking:
        check_lead_masking(corpus, task, candidates.preprocess)

    # training
    if progress.begin(overwrite=settings.overwrite) and accelerator.is_main_process:
        sys.stdout.write(f"goes on with what an interrupted run kept in {run_dir / PROGRESS}\n")
    clear_results(run_dir)
    results = experiment.run(saver(run_dir, settings))
    trained = time.monotonic()

    # evaluation
    def evaluate() -> Assessment:  # before leads are taken: an error there loses nothing else
        warn_of_unusable(results.unusable)
        keep_predictions(run_dir, corpus, results, settings)
        return assess(results, settings, challenge)

    assessment = from_main(accelerator, evaluate)
    need = None
    if settings.lead_masking:
        need = find_lead_need(results, corpus, settings, accelerator)
    if not accelerator.is_main_process:  # nobody waits for what the main process does from here on
        return []
    groups = measure_groups(results, corpus, facts, settings)
    classes, leads = results.task.classes, candidates.preprocess.leads
    own = next(iter(assessment.predictions.values()))
    evidence = (
        find_evidence(results, corpus, own.decisions.f1[0], settings, accelerator.device)
        if settings.occlusion
        else []
    )

    evaluated = Split(corpus, results.task.evaluation.rows, candidates.preprocess)

    # report
    summary = run_summary(
        settings,
        seed=settings.seed,
        model=next(iter(results.by_candidate)),
        **assessment.summary,
        counts=counts(results),
        **cohort_summary(corpus, results, settings),
        unusable=results.unusable,
        audit=audit,
        candidates={name: result.facts for name, result in results.by_candidate.items()},
        **mean_lead_weights(results, leads),
        **lead_need_summary(need),
        **groups_summary(groups),
        **occlusion_summary(evidence, classes, leads),
        seconds={"training": trained - started, "evaluation": time.monotonic() - trained},
    )
    findings = [
        *sentences(summary, settings),
        *audit["sentences"],
        *doubts(results.by_candidate),
    ]
    report(
        run_dir,
        corpus,
        results,
        candidates,
        settings=settings,
        findings=findings,
        summary=summary,
        device=accelerator.device,
        opening=[plain_section(summary, settings), cohort_section(summary)],
        sections=[
            *score_sections(assessment, results, candidates, corpus, settings, summary),
            *group_sections(groups, summary),
            *lead_sections(results, leads, need),
            *occlusion_section(evidence, evaluated, classes, leads),
            checklist_section(),
        ],
    )
    write_json(run_dir / SUMMARY, summary)  # last: it tells that the run is complete
    progress.remove()
    return [*findings, f"Report: {run_dir / 'report.html'}"]


def choose_run_dir(settings: FinetuneSettings) -> Path:
    """Return run_dir, or a new folder in runs/ where none is given."""
    if settings.run_dir is not None:
        return settings.run_dir
    name = f"{settings.label_set}-{settings.mode}-{time.strftime('%Y%m%d-%H%M%S')}"
    return Path("runs") / name


def interruption(settings: FinetuneSettings, run_dir: Path) -> str:
    """Say what is left of a run that was interrupted."""
    if settings.mode != "probe":
        return (
            "interrupted: the best classifier so far, if an epoch was finished, is in "
            f"{run_dir / CLASSIFIER_FOLDER}; the same command with run_dir={run_dir}, and without "
            "overwrite=true, goes on after that epoch"
        )
    folder = settings.embeddings or run_dir / "embeddings"
    return f"interrupted: finished embeddings are kept in {folder}"

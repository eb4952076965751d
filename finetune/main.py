"""Train a classifier and evaluate it beside its baselines, or predict with one that was trained.

accelerate launch finetune/main.py CONFIG.yaml encoder=RUN data=SHARDS run_dir=FOLDER
accelerate launch finetune/main.py cross_validate CONFIG.yaml data=SHARDS run_dir=FOLDER
accelerate launch finetune/main.py compare runs=[RUN, RUN, ...] run_dir=FOLDER
accelerate launch finetune/main.py protocols encoder=RUN data=SHARDS run_dir=FOLDER
accelerate launch finetune/main.py predict classifier=FOLDER data=SHARDS output=FILE.csv
accelerate launch finetune/main.py export classifier=FOLDER output=FILE.onnx [int8=true data=SHARDS]
accelerate launch finetune/main.py anomaly CONFIG.yaml data=SHARDS run_dir=FOLDER
accelerate launch finetune/main.py anomaly_evaluate detector=FOLDER data=SHARDS run_dir=FOLDER ...
accelerate launch finetune/main.py anomaly_score detector=FOLDER data=SHARDS output=FILE.csv
Leaves in run_dir: classifier/, predictions.csv, report.html, its figures/ and tables/, embeddings
of probes, and when all is done summary.json. Any setting can be given as key=value; --print-config
shows all of them.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: import this checkout, and never finetune/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from accelerate import Accelerator

from finetune.classifiers.folder import CLASSIFIER_FOLDER
from finetune.commands import COMMANDS, start
from finetune.data.audit import audit_leakage
from finetune.data.tasks import make_task
from finetune.evaluation.assessment import Assessment, assess, challenge_weights
from finetune.evaluation.lead_masking import check_lead_masking, find_lead_need
from finetune.experiment.candidates import make_contest
from finetune.experiment.resume import Progress, about_run
from finetune.experiment.resume_training import PROGRESS
from finetune.experiment.train_and_score import Comparison
from finetune.main_process import from_main
from finetune.overwriting import check_free, clear_results
from finetune.reports.assessment_sections import score_sections
from finetune.reports.findings import counts, doubts, mean_lead_weights, sentences
from finetune.reports.lead_sections import lead_need_summary, lead_sections
from finetune.reports.results import (
    keep_predictions,
    report,
    saver,
    warn_of_unusable,
)
from finetune.settings import FinetuneSettings
from lamae.config import exit_with, settings_from_command_line
from lamae.errors import InputError
from lamae.files import write_json
from lamae.runs.tracking import SUMMARY, run_summary
from lamae.storage.corpus import Corpus
from lamae.training.threads import use_cores


def finetune(settings: FinetuneSettings, accelerator: Accelerator) -> None:
    """Train the classifier and its baselines, score all on the same patients, and report."""
    started = time.monotonic()
    use_cores(accelerator, settings.cpu_threads)
    run_dir = choose_run_dir(settings)
    check_free(run_dir, overwrite=settings.overwrite)
    corpus = Corpus(settings.data)
    task = make_task(corpus, settings)
    audit = audit_leakage(
        corpus,
        task.train.rows,
        task.evaluation.rows,
        settings,
        encoder=settings.encoder,
        split=settings.eval_split,
    )
    contest = make_contest(settings, task.classes)
    challenge = challenge_weights(settings, task.classes)
    cache = settings.cache or run_dir / "embeddings"
    kept, about = run_dir / PROGRESS, about_run(settings, corpus, contest)
    progress = Progress(kept, about, accelerator=accelerator)
    comparison = Comparison(
        corpus, task, contest, settings, accelerator=accelerator, cache=cache, progress=progress
    )
    if settings.lead_masking:
        check_lead_masking(corpus, task, contest.preprocess)
    if progress.begin(overwrite=settings.overwrite) and accelerator.is_main_process:
        sys.stdout.write(f"goes on with what an interrupted run kept in {kept}\n")
    clear_results(run_dir)
    compared = comparison.run(saver(run_dir, settings))
    trained = time.monotonic()

    def judge() -> Assessment:  # before leads are taken: an error there loses nothing else
        warn_of_unusable(compared.unusable)
        keep_predictions(run_dir, corpus, compared, settings)
        return assess(compared, settings, challenge)

    assessment = from_main(accelerator, judge)
    need = None
    if settings.lead_masking:
        need = find_lead_need(compared, corpus, settings, accelerator)
    if not accelerator.is_main_process:  # nobody waits for what the main process does from here on
        return

    outcomes = compared.outcomes
    summary = run_summary(
        settings,
        seed=settings.seed,
        model=next(iter(outcomes)),
        **assessment.summary,
        counts=counts(compared),
        unusable=compared.unusable,
        audit=audit,
        contenders={name: outcome.facts for name, outcome in outcomes.items()},
        **mean_lead_weights(compared, contest.preprocess.leads),
        **lead_need_summary(need),
        seconds={"training": trained - started, "evaluation": time.monotonic() - trained},
    )
    findings = [*sentences(summary, settings), *audit["sentences"], *doubts(outcomes)]
    report(
        run_dir,
        corpus,
        compared,
        contest,
        settings=settings,
        findings=findings,
        summary=summary,
        device=accelerator.device,
        sections=[
            *score_sections(assessment, compared, contest, corpus, settings, summary),
            *lead_sections(compared, contest.preprocess.leads, need),
        ],
    )
    write_json(run_dir / SUMMARY, summary)  # last: it tells that the run is complete
    progress.remove()
    sys.stdout.write("\n".join([*findings, f"Report: {run_dir / 'report.html'}", ""]))


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
    folder = settings.cache or run_dir / "embeddings"
    return f"interrupted: finished embeddings are kept in {folder}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and end with one line where the input is wrong or the user interrupts."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    message = "interrupted"
    try:
        if arguments and arguments[0] in COMMANDS:
            sys.stdout.writelines(f"{told}\n" for told in COMMANDS[arguments[0]](arguments[1:]))
            return
        settings = settings_from_command_line(FinetuneSettings, arguments)
        run_dir = choose_run_dir(settings)
        settings = settings.model_copy(update={"run_dir": run_dir})
        message = interruption(settings, run_dir)
        finetune(settings, start(settings.precision))
    except InputError as error:
        exit_with(f"error: {error}")
    except KeyboardInterrupt:
        exit_with(message, status=130)


if __name__ == "__main__":
    main()

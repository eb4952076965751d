"""Pretrain LAMAE: `accelerate launch pretrain/main.py CONFIG.yaml data=SHARDS run_dir=FOLDER`.

Leaves in run_dir: model/ for finetune/main.py, checkpoints/, metrics.jsonl, tensorboard/ and
summary.json.
"""

import sys
from contextlib import closing
from pathlib import Path

if not __package__:  # run as a file: import this checkout, and never pretrain/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from accelerate import Accelerator

from lamae.checkpoint import save_model
from lamae.config import exit_with, settings_from_command_line
from lamae.corpus import Corpus
from lamae.dataset import Split
from lamae.errors import InputError
from lamae.parameters import parameter_report
from lamae.run_folder import MODEL_FOLDER
from lamae.threads import use_cores
from lamae.tracking import started_by_launcher, write_summary
from pretrain.batches import Reader, training_batches
from pretrain.evaluation import Evaluation
from pretrain.launch import make_accelerator
from pretrain.loop import Training, start_training, train_step
from pretrain.progress import Progress
from pretrain.settings import PretrainSettings
from pretrain.stopping import Reason, Stopping, mark_resumable
from pretrain.target_statistics import set_statistics
from pretrain.watchdog import Watchdog


def pretrain(settings: PretrainSettings, accelerator: Accelerator) -> None:
    """Train to the last step, then write the model and the summary."""
    threads = use_cores(accelerator, settings.cpu_threads)
    corpus = Corpus(settings.data)
    train, val = (
        Split(corpus, corpus.rows(name), settings.preprocess, replace_unusable=True)
        for name in ("train", "val")
    )
    evaluation = Evaluation(settings, corpus, val, accelerator)
    training = start_training(settings, accelerator, corpus)
    first_step = training.step
    if first_step == 0:
        set_statistics(training, train)
    with (
        Stopping(
            settings.run_dir if accelerator.is_main_process else None,
            max_hours=settings.max_hours,
            watch_launcher=started_by_launcher(),
        ) as stopping,
        Watchdog(settings.timeout_s, rank=accelerator.process_index) as watchdog,
        closing(Progress(training)) as progress,
    ):
        reason = run(training, train, evaluation, progress, stopping, watchdog)

    model = training.autoencoder
    if training.attempt and training.step < settings.steps:
        mark_resumable(settings.run_dir, reason, first_step=first_step, step=training.step)
        sys.stdout.write(
            f"stopped after {training.step} of {settings.steps} steps: {reason.text}; give "
            "resume=true to go on\n"
        )
    elif training.attempt:
        training.attempt.check()
        model_folder = settings.run_dir / MODEL_FOLDER
        save_model(model_folder, model, settings.preprocess, step=training.step)
        write_summary(
            settings.run_dir,
            settings,
            seed=settings.seed,
            counts={"train": len(train), "val": len(val)},
            parameters=parameter_report(model),
            first_step=first_step,
            steps=training.step,
            epochs=training.step * settings.batch_size / len(train),
            processes=accelerator.num_processes,
            device=str(accelerator.device),
            threads=threads,
            seconds=training.seconds,
            **{name.replace("/", "_"): value for name, value in progress.last.items()},
        )
        sys.stdout.write(
            f"{training.step} steps, validation loss {progress.last.get('val/loss', 0):.4f}; "
            f"model and logs are in {settings.run_dir}\n"
        )


def run(
    training: Training,
    train: Split,
    evaluation: Evaluation,
    progress: Progress,
    stopping: Stopping,
    watchdog: Watchdog,
) -> Reason:
    """Do the remaining steps, or those until there is a reason to stop, which is returned."""
    settings, accelerator, meter = training.settings, training.accelerator, progress.meter
    read = Reader(train, settings, accelerator.device)
    batches = training_batches(settings, accelerator, read, first_step=training.step)
    while training.step < settings.steps:
        with meter.waiting():
            parts = next(batches)
        progress.trained(train_step(training, parts))
        is_last = training.step == settings.steps
        reason = training.agreement.reason(stopping.requested())
        with meter.excluded():
            watchdog.beat(training.step, doing="evaluation")
            progress.log(evaluation.scalars(training))
            if training.step % settings.checkpoint_every == 0 or is_last or reason:
                watchdog.beat(training.step, doing="saving a checkpoint")
                training.save()
        watchdog.beat(training.step)
        if reason:
            return reason
    return Reason.NONE


if __name__ == "__main__":
    try:
        chosen = settings_from_command_line(PretrainSettings)
        pretrain(chosen, make_accelerator(chosen))
    except InputError as error:
        exit_with(f"error: {error}")
    except KeyboardInterrupt:
        exit_with("interrupted: give resume=true to go on from the newest checkpoint", status=130)

"""One run of pretraining, from its settings to the model and the summary in its folder."""

import sys
import time
from contextlib import closing

from accelerate import Accelerator

from lamae.batches.dataset import Split
from lamae.batches.mixture import Mixture
from lamae.batches.node_memory import NodeMemory
from lamae.model.checkpoint import save_model
from lamae.runs.run_folder import AVERAGED_MODEL_FOLDER, MODEL_FOLDER
from lamae.runs.tracking import started_by_launcher, write_summary
from lamae.training.threads import use_cores
from pretrain.batches import Reader, training_batches
from pretrain.cost.parameters import parameter_report
from pretrain.data import Corpora
from pretrain.evaluation import Evaluation
from pretrain.loop import Training, train_step
from pretrain.processes.faults import lost_processes_as_errors
from pretrain.processes.launch import deterministic_algorithms, make_accelerator
from pretrain.processes.stopping import Reason, Stopping, mark_resumable
from pretrain.processes.watchdog import Watchdog
from pretrain.progress import Progress
from pretrain.settings import PretrainSettings
from pretrain.start import set_statistics, start_training


def start(settings: PretrainSettings) -> None:
    """Pretrain with the processes that were launched."""
    with lost_processes_as_errors(), deterministic_algorithms(settings.deterministic):
        pretrain(settings, make_accelerator(settings))


def pretrain(settings: PretrainSettings, accelerator: Accelerator) -> None:
    """Train to the last step, then write the model and the summary."""
    threads = use_cores(accelerator, settings.cpu_threads)
    corpora = Corpora(settings)
    evaluation = Evaluation(settings, corpora, accelerator)
    training = start_training(settings, accelerator, corpora)
    first_step = training.step
    if first_step == 0:
        set_statistics(training, corpora.train)
    with Stopping(
        settings.run_dir if accelerator.is_main_process else None,
        max_hours=settings.max_hours,
        watch_launcher=started_by_launcher(),
    ) as stopping:
        with (
            Watchdog(settings.timeout_s, rank=accelerator.process_index) as watchdog,
            closing(Progress(training)) as progress,
            training.saving,
        ):
            reason = take_steps(training, corpora.train, evaluation, progress, stopping, watchdog)
        training.agreement.raise_together(training.faults.first)

    model = training.autoencoder
    if training.attempt and training.step < settings.steps:
        mark_resumable(settings.run_dir, reason, first_step=first_step, step=training.step)
        sys.stdout.write(
            f"stopped after {training.step} of {settings.steps} steps: {reason.text}; give "
            "resume=true to go on\n"
        )
    elif training.attempt:
        training.attempt.check()
        models = {MODEL_FOLDER: model}
        if training.average:
            models[AVERAGED_MODEL_FOLDER] = training.average.model
        for folder, each in models.items():
            save_model(settings.run_dir / folder, each, settings.preprocess, step=training.step)
        write_summary(
            settings.run_dir,
            settings,
            seed=settings.seed,
            **corpora.summary(training.step * settings.batch_size),
            parameters=parameter_report(model),
            first_step=first_step,
            steps=training.step,
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


def take_steps(
    training: Training,
    train: Split | Mixture,
    evaluation: Evaluation,
    progress: Progress,
    stopping: Stopping,
    watchdog: Watchdog,
) -> Reason:
    """Do the remaining steps, or those until there is a reason to stop, which is returned."""
    settings, accelerator, meter = training.settings, training.accelerator, progress.meter
    node = None
    if settings.residency == "ram" and accelerator.num_processes > 1:
        node = NodeMemory(training.agreement.gather, training.agreement.raise_together)
    read = Reader(train, settings, accelerator.device, node)
    batches = training_batches(settings, accelerator, read, first_step=training.step)
    while training.step < settings.steps:
        with meter.waiting():
            parts = next(batches)
        progress.damaged += sum(len(part.batch.damaged) for part in parts)
        progress.trained(train_step(training, parts))
        is_last = training.step == settings.steps
        found = (stopping.requested(), training.faults.reason, training.saving.reason)
        reason = training.agreement.reason(max(found))
        if reason is Reason.CHECKPOINT:
            training.saving.raise_failure()
        with meter.excluded():
            watchdog.beat(training.step, doing="evaluation")
            progress.log(evaluation.scalars(training))
            if training.step % settings.checkpoint_every == 0 or is_last or reason:
                watchdog.beat(training.step, doing="saving a checkpoint")
                started = time.monotonic()
                waited_s = training.save(wait=is_last or reason is not Reason.NONE)
                stood_s = time.monotonic() - started
                progress.log({"time/checkpoint_s": stood_s, "time/checkpoint_wait_s": waited_s})
        watchdog.beat(training.step)
        if reason:
            return reason
    return Reason.NONE

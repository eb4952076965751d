"""The start of an attempt at a run: who may write, and from which checkpoint it goes on."""

from pathlib import Path

from accelerate import Accelerator

from lamae.errors import InputError
from lamae.runs.run_folder import (
    Attempt,
    checkpoint_folder,
    newest_checkpoint,
    resume_from,
    step_of,
)
from pretrain.processes.stopping import Agreement, clear_markers
from pretrain.settings import PretrainSettings


def begin_attempt(
    settings: PretrainSettings, accelerator: Accelerator, agreement: Agreement
) -> tuple[Attempt | None, Path | None]:
    """Let the main process take over run_dir, and all find the checkpoint to go on from.

    Raises InputError where run_dir holds another run, or no intact checkpoint.
    """
    attempt, error, found = None, None, -1
    if accelerator.is_main_process:
        try:
            newest = newest_checkpoint(settings.run_dir)
            if newest and not settings.resume:
                raise InputError(
                    f"run folder {settings.run_dir}",
                    value=f"holds {newest.name}",
                    expected="no checkpoint of another run",
                    remedy="Give resume=true to go on with it, or another run_dir=.",
                )
            attempt = Attempt(settings.run_dir)
            clear_markers(settings.run_dir)
            newest = resume_from(settings.run_dir, attempt)
            found = step_of(newest) if newest else -1
        except (InputError, OSError) as raised:
            error = raised
    agreement.raise_together(error)
    step = agreement.highest(found)
    return attempt, checkpoint_folder(settings.run_dir, step) if step >= 0 else None

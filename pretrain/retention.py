"""Retention of checkpoints."""

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from lamae.errors import InputError
from lamae.files import read_json
from lamae.runs.checksums import damage
from lamae.runs.run_folder import (
    CHECKPOINT_FILES,
    STATE,
    Attempt,
    checkpoints,
    files_of,
    remove_checkpoint,
    step_of,
)
from pretrain.settings import Retention

VALIDATION_LOSS = "validation_loss"
"""Key in `state.json` of the validation loss of the very weights beside it, or null."""

_log = logging.getLogger(__name__)


def removable_steps(steps: Iterable[int], *, best: int | None, policy: Retention) -> list[int]:
    """Return the steps, of those that have a checkpoint, that the policy does not keep."""
    by_age = sorted(set(steps))
    kept = set(by_age[-policy.keep_last :])
    if policy.keep_best and best is not None:
        kept.add(best)
    if policy.milestone_every is not None:
        kept |= {step for step in by_age if step % policy.milestone_every == 0}
    return [step for step in by_age if step not in kept]


def best_step(losses: Mapping[int, float | None]) -> int | None:
    """Return the step of the lowest finite loss, the later of two equal ones; None without one."""
    known = {step: v for step, v in losses.items() if v is not None and math.isfinite(v)}
    return min(known, key=lambda step: (known[step], -step)) if known else None


def apply_retention(run_dir: Path, policy: Retention, attempt: Attempt) -> None:
    """Remove the checkpoints that the policy does not keep, once the newest is known to be whole.

    Raises FencedError if a later attempt at the run has begun.
    """
    folders = {step_of(folder): folder for folder in checkpoints(run_dir)}
    best = best_step({step: _validation_loss(folder) for step, folder in folders.items()})
    old = removable_steps(folders, best=best, policy=policy)
    if not old:
        return
    newest = folders[max(folders)]
    found = damage(newest, needs=files_of(newest, CHECKPOINT_FILES))
    if found:
        _log.warning("checkpoint %s is damaged: %s; no older one is removed", newest, found)
        return
    for step in old:
        remove_checkpoint(folders[step], attempt)


def _validation_loss(folder: Path) -> float | None:
    try:
        loss = read_json(folder / STATE).get(VALIDATION_LOSS)
    except InputError:  # damaged, which loading reports
        return None
    return float(loss) if isinstance(loss, int | float) else None

"""Progress of pretraining for a user: a bar, and rows in the logs."""

import logging
import time
from collections.abc import Mapping

import torch
from torch import Tensor
from tqdm import tqdm

from lamae.errors import InputError
from lamae.files import write_json
from lamae.runs.cores import node_name
from lamae.runs.run_folder import RUN
from lamae.runs.tracking import MetricsLog, read_metrics
from pretrain.cost.flops import step_flops, visible_patches
from pretrain.cost.meter import Meter, Work
from pretrain.cost.peak import matmul_peak
from pretrain.loop import Training
from pretrain.monitoring.paces import (
    STRAGGLER,
    named_straggler,
    own_pace,
    pace_scalars,
)

_logger = logging.getLogger(__name__)
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Progress:
    """Bar, clock and logs; only the main process writes, the others take part in the averages."""

    def __init__(self, training: Training) -> None:
        """Open the logs of a run at its present step."""
        self._training = training
        self._logged_step = training.step
        self.damaged = 0
        """Samples of this process that others stand in for, as they are damaged."""
        self._stragglers: set[str] = set()
        settings, is_main = training.settings, training.accelerator.is_main_process
        self._log, earlier = _open_logs(training)
        self.meter = _meter(training)
        """Clock of the steps, without what is no part of them."""
        self._bar = tqdm(
            total=settings.steps,
            initial=training.step,
            desc="pretrain",
            unit="step",
            disable=not is_main,
        )
        self.last: dict[str, float] = {}
        """Newest value of each scalar, of the steps before a resumption as well."""
        for row in earlier:
            self.last |= {name: value for name, value in row.items() if name != "step"}

    def trained(self, results: Mapping[str, Tensor]) -> None:
        """Show a step that has been done; average and log its results at log intervals."""
        training = self._training
        self._bar.update()
        self.meter.stepped()
        is_last = training.step == training.settings.steps
        if training.step % training.settings.log_every and not is_last:
            return
        loss = training.accelerator.reduce(results["train/loss"], reduction="mean").item()
        self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self.log(
            {
                "train/loss": loss,
                "train/grad_norm": float(results["train/grad_norm"]),
                "train/lr": training.optimizer.param_groups[0]["lr"],
                **self._paces(),
                "time/unix_s": time.time(),
            }
        )

    def _paces(self) -> dict[str, float]:
        """Return scalars of the steps since the last row, with the pace of every process."""
        training = self._training
        report = self.meter.report()
        steps = training.step - self._logged_step
        self._logged_step = training.step
        if not report:
            return {}
        pace = own_pace(
            report,
            forward_s=training.forward_time.take() / steps,
            processes=training.accelerator.num_processes,
            damaged=self.damaged,
        )
        found = pace_scalars(training.agreement.gather(pace))
        slow = {name for name in found if name.startswith(STRAGGLER)}
        for name in sorted(slow - self._stragglers):
            if self._log is not None:
                _logger.warning("step %d: %s", training.step, named_straggler(name, found[name]))
        self._stragglers = slow
        if training.finite.count:
            found["train/skipped"] = float(training.finite.count)
        return report | found

    def log(self, scalars: dict[str, float]) -> None:
        """Log scalars at the present step."""
        self.last |= scalars
        if self._log is not None and scalars and not self._training.faults.first:
            with self._training.faults.noted():
                self._log.write(self._training.step, scalars)

    def close(self) -> None:
        """Close bar and logs."""
        self._bar.close()
        if self._log is not None:
            with self._training.faults.noted():
                self._log.close()


def _open_logs(training: Training) -> tuple[MetricsLog | None, list[dict[str, int | float]]]:
    """Open the logs on the main process, and read their rows; where it fails, all raise."""
    settings, error = training.settings, None
    about = {"host": node_name(), "device": str(training.accelerator.device)}
    processes = training.agreement.gather(about)
    log, rows = None, list[dict[str, int | float]]()
    if training.accelerator.is_main_process:
        try:
            log = MetricsLog(
                settings.run_dir,
                first_step=training.step + 1,
                tracking=settings.tracking,
                config=settings,
            )
            rows = read_metrics(settings.run_dir)
            write_json(
                settings.run_dir / RUN,
                {
                    "attempt": training.attempt.number if training.attempt else None,
                    "first_step": training.step,
                    "processes": processes,
                    "settings": settings.model_dump(mode="json"),
                },
            )
        except (InputError, OSError) as found:
            error = found
    training.agreement.raise_together(error)
    return log, rows


def _meter(training: Training) -> Meter:
    settings, accelerator = training.settings, training.accelerator
    peak = matmul_peak(accelerator.device, _DTYPES[settings.precision])
    shape = {"leads": len(settings.preprocess.leads), "patches": settings.patches}
    work = Work(
        ecgs=settings.batch_size,
        tokens=settings.batch_size * visible_patches(settings.model, **shape),
        flops=step_flops(settings.model, batch=settings.batch_size, **shape),
        peak=peak * accelerator.num_processes,
    )
    return Meter(work, device=accelerator.device)

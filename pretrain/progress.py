"""What a user sees while pretraining runs: a bar, and rows in the logs."""

import time
from collections.abc import Mapping

from torch import Tensor
from tqdm import tqdm

from lamae.tracking import MetricsLog, read_metrics
from pretrain.loop import Training


class Progress:
    """Bar and logs of the main process; the other processes only take part in the averages."""

    def __init__(self, training: Training) -> None:
        """Open the logs of a run at its present step."""
        self._training = training
        settings, is_main = training.settings, training.accelerator.is_main_process
        self._log = MetricsLog(settings.run_dir, first_step=training.step + 1) if is_main else None
        self._bar = tqdm(
            total=settings.steps,
            initial=training.step,
            desc="pretrain",
            unit="step",
            disable=not is_main,
        )
        self._logged_step, self._logged_at = training.step, time.monotonic()
        self.last: dict[str, float] = {}
        """Newest value of each scalar, of the steps before a resumption as well."""
        for row in read_metrics(settings.run_dir) if is_main else []:
            self.last |= {name: value for name, value in row.items() if name != "step"}

    def trained(self, results: Mapping[str, Tensor]) -> None:
        """Show a step that has been done; average and log its results at log intervals."""
        training = self._training
        self._bar.update()
        is_last = training.step == training.settings.steps
        if training.step % training.settings.log_every and not is_last:
            return
        loss = training.accelerator.reduce(results["train/loss"], reduction="mean").item()
        step_s = self._seconds_per_step()
        self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self._write(
            {
                "train/loss": loss,
                "train/grad_norm": float(results["train/grad_norm"]),
                "train/lr": training.optimizer.param_groups[0]["lr"],
                "time/step_s": step_s,
                "time/ecg_per_s": training.settings.batch_size / step_s,
            }
        )

    def validated(self, loss: float) -> None:
        """Log a validation loss."""
        self._write({"val/loss": loss})
        self._logged_at = time.monotonic()  # validation is no part of a training step

    def close(self) -> None:
        """Close bar and logs."""
        self._bar.close()
        if self._log is not None:
            self._log.close()

    def _write(self, scalars: dict[str, float]) -> None:
        self.last |= scalars
        if self._log is not None:
            self._log.write(self._training.step, scalars)

    def _seconds_per_step(self) -> float:
        step, now = self._training.step, time.monotonic()
        seconds = (now - self._logged_at) / (step - self._logged_step)
        self._logged_step, self._logged_at = step, now
        return seconds

"""Evaluation between steps: validation, the probe, and pictures."""

from accelerate import Accelerator

from lamae.batches.dataset import Split
from lamae.storage.corpus import Corpus
from pretrain.loop import Training, validate
from pretrain.monitoring.lead_errors import LeadErrors
from pretrain.monitoring.online_probe import OnlineProbe
from pretrain.monitoring.pictures import Pictures
from pretrain.settings import PretrainSettings


class Evaluation:
    """Evaluates at the steps that the settings name, and at the last one."""

    def __init__(
        self, settings: PretrainSettings, corpus: Corpus, val: Split, accelerator: Accelerator
    ) -> None:
        """Read what is probed and drawn; raises InputError where it cannot be."""
        self._settings, self._val = settings, val
        self._probe = OnlineProbe(
            settings.probe,
            corpus,
            settings.preprocess,
            seed=settings.seed,
            accelerator=accelerator,
        ) if settings.probe.every else None  # fmt: skip
        self._pictures = Pictures(
            settings.pictures,
            corpus,
            settings.preprocess,
            settings.model,
            seed=settings.seed,
            accelerator=accelerator,
        ) if settings.pictures.every else None  # fmt: skip

    def scalars(self, training: Training) -> dict[str, float]:
        """Return what is to be logged after a step; every process must call it."""
        settings, found = self._settings, dict[str, float]()
        if self._is_due(training, settings.validate_every):
            errors = LeadErrors(settings.preprocess.leads, training.accelerator)
            found["val/loss"] = validate(training, self._val, errors)
            found |= errors.scalars()
        if self._probe and self._is_due(training, settings.probe.every):
            found |= self._probe.score(training.autoencoder.encoder)
        if self._pictures and self._is_due(training, settings.pictures.every):
            self._pictures.write(training.autoencoder, settings.run_dir, step=training.step)
        return found

    def _is_due(self, training: Training, every: int | None) -> bool:
        is_last = training.step == self._settings.steps
        return every is not None and (training.step % every == 0 or is_last)

"""Evaluation between steps: validation, the probe, and pictures."""

from accelerate import Accelerator

from pretrain.data import Corpora
from pretrain.loop import Training, mean_error, validate
from pretrain.monitoring.lead_errors import LeadErrors
from pretrain.monitoring.online_probe import OnlineProbe
from pretrain.monitoring.pictures import Pictures
from pretrain.settings import PretrainSettings


class Evaluation:
    """Evaluates at the steps that the settings name, and at the last one."""

    def __init__(
        self, settings: PretrainSettings, corpora: Corpora, accelerator: Accelerator
    ) -> None:
        """Read what is probed and drawn; raises InputError where it cannot be."""
        self._settings, self._corpora = settings, corpora
        self._probe = OnlineProbe(
            settings.probe,
            corpora.first,
            settings.preprocess,
            seed=settings.seed,
            accelerator=accelerator,
            cache=settings,
        ) if settings.probe.every else None  # fmt: skip
        self._pictures = Pictures(
            settings.pictures,
            corpora.first,
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
            found |= self._losses(training, errors)
            found |= errors.scalars()
            found |= self._losses_of_average(training)
        if self._probe and self._is_due(training, settings.probe.every):
            found |= self._probe.score(training.autoencoder.encoder)
        if self._pictures and self._is_due(training, settings.pictures.every):
            model = training.autoencoder
            with training.faults.noted():
                self._pictures.write(model, settings.run_dir, step=training.step)
        return found

    def _losses(self, training: Training, errors: LeadErrors) -> dict[str, float]:
        """Validate; of several corpora, return also the loss of each, of which it is the mean.

        The mean is weighted as the batches are, and so is what training minimises.
        """
        corpora = self._corpora
        found = self._named("val", [validate(training, val, errors) for val in corpora.val])
        training.validated = (training.step, found["val/loss"])
        return found

    def _losses_of_average(self, training: Training) -> dict[str, float]:
        """Return the same losses of the averaged weights, where the run keeps them."""
        average = training.average
        if average is None:
            return {}
        losses = [mean_error(training, average.model, val) for val in self._corpora.val]
        return self._named("val_ema", losses)

    def _named(self, group: str, losses: list[float]) -> dict[str, float]:
        """Return the losses of corpora with their mean, or the one loss where there is one."""
        if len(losses) == 1:
            return {f"{group}/loss": losses[0]}
        corpora = self._corpora
        mean = sum(w * loss for w, loss in zip(corpora.weights, losses, strict=True))
        named = zip(corpora.names, losses, strict=True)
        return {f"{group}/loss": mean, **{f"{group}/loss_{name}": loss for name, loss in named}}

    def _is_due(self, training: Training, every: int | None) -> bool:
        is_last = training.step == self._settings.steps
        return every is not None and (training.step % every == 0 or is_last)

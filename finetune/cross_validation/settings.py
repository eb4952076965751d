"""Settings of a cross-validation."""

from pydantic import Field, model_validator

from finetune.settings import FinetuneSettings
from lamae.config import FolderPath


class CrossValidateSettings(FinetuneSettings):
    """One classifier and its baselines, cross-validated by patient.

    `train_split`, `eval_split`, `evaluate_where` and `label_fraction` are refused: every recording
    of the cohort is evaluated, and all other patients are learnt from.
    """

    run_dir: FolderPath
    """Folder for results."""
    splits: tuple[str, ...] | None = None
    """Splits of the shards that are the cohort; by default all."""
    folds: int = Field(5, ge=2)
    """Outer folds, that evaluate."""
    repeats: int = Field(1, gt=0)
    """Times that patients are divided into folds anew."""
    inner_folds: int = Field(5, ge=2)
    """Folds of the training patients by which a probe's penalty is chosen; trained modes choose
    on training.hold_out."""

    @model_validator(mode="after")
    def _whole_cohort(self) -> "CrossValidateSettings":
        given = [
            name
            for name in ("train_split", "eval_split", "evaluate_where", "label_fraction")
            if getattr(self, name) != FinetuneSettings.model_fields[name].default
        ]
        if given:
            raise ValueError(
                f"{', '.join(given)}: not for a cross-validation, which evaluates every recording "
                "of the cohort; choose the cohort with splits= and where="
            )
        if self.occlusion:
            raise ValueError("occlusion asks one classifier; a cross-validation has many")
        if self.lead_masking:
            raise ValueError("lead_masking asks one classifier; a cross-validation has many")
        if self.groups:
            raise ValueError("groups are of one classifier; a cross-validation has many")
        return self

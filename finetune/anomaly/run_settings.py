"""Settings of a run that trains a detector, and of one that scores recordings with it."""

from typing import Literal

from pydantic import Field, model_validator

from finetune.anomaly.settings import (
    SCORES,
    AnomalyTraining,
    Kind,
    NormalRule,
    Over,
    RuleName,
    RuleSettings,
    ScoreName,
    VaeSettings,
)
from finetune.data.settings import HOLD_OUT, AuditSettings, ReadingSettings, UsableSettings
from finetune.run_settings import IntervalSettings, RunSettings
from lamae.config import FolderPath, Settings
from lamae.ecg.preprocess import Preprocessor
from lamae.model.settings import Pooling
from lamae.remote.locations import Location
from lamae.storage.settings import DataSettings

DEFAULT_SCORE: dict[Kind, ScoreName] = {
    "cae": "mse",
    "vae_bilstm": "released",
    "lamae": "masked_error",
}
"""The score that decides where none is asked for."""


AnomalyOverlap = Literal["training_recordings", "pretraining_patients", "pretraining_recordings"]
"""As Overlap of finetune/settings.py, but training patients: on some of them the threshold is
chosen, and it is never measured on those."""


class NormalSettings(Settings):
    """Rule by which labels say that a recording is normal."""

    label_set: str = "superclass"
    """Labels that say whether a recording is normal; one without any is left out."""
    normal_class: str = "NORM"
    """The class of normal recordings."""
    normal_rule: NormalRule = "only"
    """Count a recording with further classes of the label set as normal: only, no; any, yes."""


class AnomalySettings(RunSettings, NormalSettings, AuditSettings, UsableSettings, IntervalSettings):
    """One detector of abnormal recordings, trained on normal ones and evaluated on both."""

    data: Location
    """Labelled shards: a folder, or its URL (s3://, gs://, az://, https://, hf://)."""
    run_dir: FolderPath | None = None
    """Folder for results; by default a new folder in runs/, named by kind and time."""
    kind: Kind = "vae_bilstm"
    """Kind of detector: cae, vae_bilstm or lamae."""
    encoder: FolderPath | None = None
    """Run of pretrain/main.py, for kind lamae."""
    preprocess: Preprocessor | None = None
    """From a recording to a window; by default 500 samples at the most frequent rate of the
    training split, 0.5 to 40 Hz, each lead by its z-score. For kind lamae that of the encoder."""
    vae: VaeSettings = VaeSettings()
    """Parts of kind vae_bilstm."""
    masks: int = Field(4, gt=1)
    """Masks of kind lamae for each window: a patch is visible in one, and hidden in the others."""
    pooling: Pooling = "lead_mean"
    """Reduction of the tokens of a window to one vector, of kind lamae."""
    training: AnomalyTraining = AnomalyTraining()
    """Training of kinds cae and vae_bilstm on normal windows."""
    train_split: str = "train"
    """Split whose normal recordings are learnt."""
    eval_split: str = "val"
    """Split that results are for."""
    allow_overlap: tuple[AnomalyOverlap, ...] = ()
    """Things that the evaluation recordings may share with those of training and pretraining."""
    hold_out: float = Field(HOLD_OUT, gt=0, lt=1)
    """Share of the training patients on whom weights and threshold are chosen."""
    score: ScoreName | None = None
    """The score that decides; by default mse of cae, released of vae_bilstm, masked_error of
    lamae. The others are reported beside it."""
    over: Over = "mean"
    """Reduction of the scores of its windows to that of a recording."""
    rule: RuleName = "percentile"
    """Rule of the threshold that the detector keeps; all are reported."""
    rules: RuleSettings = RuleSettings()
    """Numbers of the rules."""
    batch_size: int = Field(32, gt=0)
    """Windows that are scored at once."""
    seed: int = Field(0, ge=0)
    """Decides random weights, hold-out, order, dropout, latents and resamples."""

    @model_validator(mode="after")
    def _consistent(self) -> "AnomalySettings":
        if (self.kind == "lamae") != (self.encoder is not None):
            raise ValueError("kind lamae needs encoder=<run of pretrain/main.py>, others have none")
        known = self.vae.scores if self.kind == "vae_bilstm" else SCORES[self.kind]
        if self.score is not None and self.score not in known:
            raise ValueError(f"score {self.score} is none of {', '.join(known)}")
        return self

    @property
    def deciding_score(self) -> ScoreName:
        """The score that decides."""
        return self.score or DEFAULT_SCORE[self.kind]


class DetectorSettings(RunSettings, ReadingSettings, DataSettings):
    """A saved detector and the recordings that it is asked about."""

    detector: FolderPath
    """Run of finetune/main.py anomaly, or its folder detector."""
    splits: tuple[str, ...] | None = None
    """Splits of the shards to score; by default all recordings."""
    batch_size: int = Field(32, gt=0)
    """Windows that are scored at once."""


class AnomalyScoreSettings(DetectorSettings):
    """A saved detector, recordings, and the file for their scores; labels are not needed."""

    output: FolderPath
    """CSV file to write: key, each score, whether it is called abnormal, problem."""


class AnomalyEvaluateSettings(
    DetectorSettings, NormalSettings, AuditSettings, UsableSettings, IntervalSettings
):
    """A saved detector and the labelled recordings to evaluate it on, of other shards."""

    run_dir: FolderPath
    """Folder for results."""
    label_set: str
    """Labels that say whether a recording is normal; one without any is left out."""
    normal_class: str
    """The class of normal recordings."""
    allow_overlap: tuple[AnomalyOverlap, ...] = ()
    """Things that the recordings may share with those of training and pretraining."""

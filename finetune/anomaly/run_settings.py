"""Settings of a run that trains a detector, and of one that scores recordings with it."""

from typing import Literal

from pydantic import Field, model_validator

from finetune.anomaly.detector.recordings import Over
from finetune.anomaly.evaluation.normals import NormalRule
from finetune.anomaly.evaluation.threshold_rules import RuleName, RuleSettings
from finetune.anomaly.settings import (
    SCORES,
    AnomalyTraining,
    Kind,
    ScoreName,
    VaeSettings,
)
from finetune.data.hold_out import HOLD_OUT
from lamae.config import FolderPath, Settings
from lamae.ecg.preprocess import Preprocessor
from lamae.model.settings import Pooling

DEFAULT_SCORE: dict[Kind, ScoreName] = {
    "cae": "mse",
    "vae_bilstm": "released",
    "lamae": "masked_error",
}
"""The score that decides where none is asked for."""


AnomalyOverlap = Literal["training_recordings", "pretraining_patients", "pretraining_recordings"]
"""As Overlap of finetune/settings.py, but training patients: on some of them the threshold is
chosen, and it is never measured on those."""


class AnomalySettings(Settings):
    """One detector of abnormal recordings, trained on normal ones and judged on both."""

    data: FolderPath
    """Folder of labelled shards."""
    run_dir: FolderPath | None = None
    """Where results go; by default a new folder in runs/, named by kind and time."""
    overwrite: bool = False
    """Replace the results that run_dir holds."""
    kind: Kind = "vae_bilstm"
    """What the detector is: cae, vae_bilstm or lamae."""
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
    """How kind lamae makes one vector of the tokens of a window."""
    training: AnomalyTraining = AnomalyTraining()
    """How kinds cae and vae_bilstm learn normal windows."""
    label_set: str = "superclass"
    """Labels that say whether a recording is normal; one without any is left out."""
    normal_class: str = "NORM"
    """The class of normal recordings."""
    normal_rule: NormalRule = "only"
    """Whether a recording with further classes of the label set is normal: only, no; any, yes."""
    train_split: str = "train"
    """Split whose normal recordings are learnt."""
    eval_split: str = "val"
    """Split that results are for."""
    pretraining_data: tuple[FolderPath, ...] | None = None
    """Shards that the encoder was pretrained on, to audit for leakage; by default those that its
    run names."""
    allow_overlap: tuple[AnomalyOverlap, ...] = ()
    """What the evaluation recordings may share with those of training and pretraining."""
    hold_out: float = Field(HOLD_OUT, gt=0, lt=1)
    """Share of the training patients on whom weights and threshold are chosen."""
    score: ScoreName | None = None
    """The score that decides; by default mse of cae, released of vae_bilstm, masked_error of
    lamae. The others are reported beside it."""
    over: Over = "mean"
    """How the scores of its windows make that of a recording."""
    rule: RuleName = "percentile"
    """Rule of the threshold that the detector keeps; all are reported."""
    rules: RuleSettings = RuleSettings()
    """Numbers of the rules."""
    batch_size: int = Field(32, gt=0)
    """Windows that are scored at once."""
    data_workers: int = Field(1, ge=0)
    """Threads that prepare batches ahead."""
    min_leads: int | None = Field(None, gt=0)
    """Leads of the preprocessor that a recording must have to be scored; by default all."""
    max_unusable: float = Field(0.01, ge=0, lt=1)
    """Share of recordings that may be damaged, refused by the preprocessor or short of leads."""
    resamples: int = Field(1000, gt=0)
    """Bootstrap resamples of patients behind each interval."""
    seed: int = Field(0, ge=0)
    """Decides random weights, hold-out, order, dropout, latents and resamples."""
    cpu_threads: int | None = Field(None, gt=0)
    """Threads where there is no GPU; by default all cores."""

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


class DetectorSettings(Settings):
    """A saved detector and the recordings that it is asked about."""

    detector: FolderPath
    """Run of finetune/main.py anomaly, or its folder detector."""
    data: FolderPath
    """Folder of shards."""
    overwrite: bool = False
    """Replace what is there."""
    splits: tuple[str, ...] | None = None
    """Splits of the shards to score; by default all recordings."""
    batch_size: int = Field(32, gt=0)
    """Windows that are scored at once."""
    data_workers: int = Field(1, ge=0)
    """Threads that prepare batches ahead."""
    min_leads: int | None = Field(None, gt=0)
    """Leads of the detector that a recording must have to be scored; by default all."""
    cpu_threads: int | None = Field(None, gt=0)
    """Threads where there is no GPU; by default all cores."""


class AnomalyScoreSettings(DetectorSettings):
    """Where scores go; labels are not needed."""

    output: FolderPath
    """CSV file to write: key, each score, whether it is called abnormal, problem."""


class AnomalyEvaluateSettings(DetectorSettings):
    """How a detector that has learnt elsewhere is judged on labelled recordings."""

    run_dir: FolderPath
    """Where results go."""
    label_set: str
    """Labels that say whether a recording is normal; one without any is left out."""
    normal_class: str
    """The class of normal recordings."""
    normal_rule: NormalRule = "only"
    """Whether a recording with further classes of the label set is normal: only, no; any, yes."""
    pretraining_data: tuple[FolderPath, ...] | None = None
    """Shards that the encoder was pretrained on, as for anomaly."""
    allow_overlap: tuple[AnomalyOverlap, ...] = ()
    """What the recordings may share with those that the detector or its encoder has seen."""
    max_unusable: float = Field(0.01, ge=0, lt=1)
    """Share of recordings that may be damaged, refused by the preprocessor or short of leads."""
    resamples: int = Field(1000, gt=0)
    """Bootstrap resamples of patients behind each interval."""
    seed: int = Field(0, ge=0)
    """Decides the resamples."""

"""Settings of fine-tuning and of the evaluation that follows it."""

from typing import Literal

from pydantic import Field, model_validator

from finetune.hold_out import HOLD_OUT
from finetune.label_rules import Icd10Settings
from finetune.linear_probe import L2_GRID
from finetune.networks.cnn_attention_bilstm import CnnAttentionBilstmSettings
from finetune.networks.hierarchical_transformer import HierarchicalTransformerSettings
from finetune.networks.lasan import LasanSettings
from lamae.config import FolderPath, Settings
from lamae.kernels import KernelSettings
from lamae.pooling import Pooling
from lamae.preprocess import Preprocessor

Mode = Literal[
    "probe",
    "attention_probe",
    "full",
    "probe_then_full",
    "lasan",
    "hybrid",
    "cnn_attention_bilstm",
    "hierarchical_transformer",
]
"""probe: a linear classifier on the frozen encoder, fitted to its end. attention_probe: a learned
query over the frozen encoder's tokens. full: encoder and linear head trained together.
probe_then_full: the same from a fitted probe (Kumar et al. 2022). lasan, cnn_attention_bilstm,
hierarchical_transformer: a network without an encoder. hybrid: gated fusion of encoder and LASAN,
trained together."""

Baseline = Literal["random", "kernels", "supervised"]
"""random: the same mode with the encoder at random weights, trained as from scratch: its layer
decay is 1, which slows no block down. kernels: for probes alone, features that nothing was trained
for, by themselves and beside the encoder's. supervised: the small network cnn_attention_bilstm,
trained on the same recordings."""

Loss = Literal["bce", "cross_entropy", "focal"]
"""bce: one sigmoid for each class. cross_entropy: a softmax over classes. focal: either, by
multi_label, with what is classified well counting less."""

Overlap = Literal[
    "training_patients",
    "training_recordings",
    "pretraining_patients",
    "pretraining_recordings",
]
"""What the recordings of the evaluation split can share with those of the training split or with
those that the encoder was pretrained on: patients, or the recordings themselves."""

WITHOUT_ENCODER = ("lasan", "cnn_attention_bilstm", "hierarchical_transformer")
"""Modes that need no encoder."""


NO_SCORE_HANGS_ON = frozenset(
    {
        *("overwrite", "cpu_threads", "data_workers", "examples", "resamples", "lead_masking"),
        *("allow_overlap", "pretraining_data"),
    }
)
"""Settings of a run that change nothing of what its models say."""


class TrainingSettings(Settings):
    """How a classifier is trained by gradient descent; the probe alone is not."""

    epochs: int = Field(20, gt=0)
    """Times that each training recording is seen at most."""
    batch_size: int = Field(64, gt=0)
    """Recordings in an optimiser step, over all processes."""
    part_size: int = Field(8, gt=0)
    """Recordings computed at once; dropout and batch statistics are those of a part, so that
    results do not hang on the number of processes."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of AdamW, that of the head."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's moments."""
    weight_decay: float = Field(0.05, ge=0)
    """On matrices only."""
    layer_decay: float = Field(0.75, gt=0, le=1)
    """Factor on the learning rate from each block of the encoder to the one below it."""
    freeze_encoder: bool = False
    """Leave the encoder as it is; in mode attention_probe it always is."""
    warmup_epochs: float = Field(1.0, ge=0)
    """Epochs over which the learning rate rises, before half a cosine to zero."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    patience: int = Field(5, gt=0)
    """Epochs without a better macro AUROC on the held-out patients after which training ends."""
    loss: Loss | None = None
    """By default bce where a recording may have several classes, else cross_entropy."""
    focal_gamma: float = Field(2.0, gt=0)
    """Exponent of the focal loss."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: rare classes count as much as frequent ones."""
    hold_out: float = Field(HOLD_OUT, gt=0, lt=1)
    """Share of the training patients on which the epoch and the thresholds are chosen."""

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingSettings":
        if self.batch_size % self.part_size:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of part_size {self.part_size}"
            )
        return self


class FinetuneSettings(Settings):
    """One classifier on one task, evaluated beside its baselines."""

    encoder: FolderPath | None = None
    """Run of pretrain/main.py, a folder with config.json and model.safetensors, or a YAML file that
    describes another encoder; modes lasan, cnn_attention_bilstm and hierarchical_transformer do
    without."""
    data: FolderPath
    """Folder of labelled shards."""
    run_dir: FolderPath | None = None
    """Where results go; by default a new folder in runs/, named by task, mode and time."""
    cache: FolderPath | None = None
    """Folder for embeddings; by default <run_dir>/embeddings."""
    overwrite: bool = False
    """Replace the results that run_dir holds."""
    mode: Mode = "probe"
    """What is trained: probe, attention_probe, full, probe_then_full, lasan, hybrid,
    cnn_attention_bilstm or hierarchical_transformer."""
    baselines: tuple[Baseline, ...] = ("random", "supervised")
    """What the classifier is compared with; those that the mode itself is are left out."""
    kernels: KernelSettings = KernelSettings(count=28)
    """The baseline of untrained kernels."""
    preprocess: Preprocessor | None = None
    """From a recording to the array a model reads; by default the encoder's, from which it must
    not differ, and without an encoder twelve leads at 250 Hz."""
    training: TrainingSettings = TrainingSettings()
    """How the classifier is trained, in all modes but probe."""
    supervised: TrainingSettings = TrainingSettings()
    """How the supervised baseline is trained."""
    lasan: LasanSettings = LasanSettings()
    """Sizes of LASAN, in modes lasan and hybrid."""
    cnn_attention_bilstm: CnnAttentionBilstmSettings = CnnAttentionBilstmSettings(
        batch_norm_momentum=0.1
    )
    """Parts of the supervised network."""
    hierarchical_transformer: HierarchicalTransformerSettings = HierarchicalTransformerSettings()
    """Sizes and switches of the hierarchical transformer."""
    label_set: str = "superclass"
    """Which labels of the shards to predict."""
    classes: tuple[str, ...] | None = None
    """Classes to predict; by default all that the training split has."""
    multi_label: bool = True
    """Whether a recording may have several classes, or has exactly one."""
    require_class: bool = False
    """Leave out recordings without any of the classes, as the PTB-XL benchmark does (Strodthoff et
    al. 2021); otherwise they are negative for all. Always so where each has exactly one class."""
    absent_classes: Literal["error", "leave_out"] = "error"
    """What becomes of a class without a positive or a negative recording in the evaluation split:
    an error, or it is left out of every mean and named; one that the training split lacks is then
    no class of the task."""
    several_classes: Literal["error", "leave_out"] = "error"
    """What becomes of recordings with several classes where multi_label is false."""
    icd10: Icd10Settings | None = None
    """For label sets of ICD-10 codes: the rules that make classes of them."""
    where: dict[str, tuple[str, ...]] = Field({})
    """By label set, the classes of which a recording must have one to be used at all."""
    evaluate_where: dict[str, tuple[str, ...]] = Field({})
    """The same for the evaluation split alone."""
    label_fraction: float = Field(1.0, gt=0, le=1)
    """Share of the training patients to learn from; a smaller share is part of a larger one."""
    subset_seed: int = Field(0, ge=0)
    """Decides which patients these are."""
    pretraining_data: tuple[FolderPath, ...] | None = None
    """Shards that the encoder was pretrained on, to audit for leakage; by default those that its
    run names."""
    allow_overlap: tuple[Overlap, ...] = ()
    """What the evaluation recordings may share with those of training and pretraining."""
    train_split: str = "train"
    """Split that the classifier is fitted on."""
    eval_split: str = "val"
    """Split that results are for."""
    pooling: Pooling = "lead_mean"
    """How the tokens of a recording become one vector; see lamae/pooling.py."""
    batch_size: int = Field(128, gt=0)
    """Windows that each process embeds or scores at once."""
    data_workers: int = Field(1, ge=0)
    """Threads of each process that prepare batches ahead; 0 prepares each when it is needed."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the model; weights, loss and optimiser are always fp32."""
    min_leads: int | None = Field(None, gt=0)
    """Leads of the preprocessor that a recording must have to be used; by default all."""
    max_unusable: float = Field(0.01, ge=0, lt=1)
    """Share of a split that may be damaged, refused by the preprocessor or short of leads; it is
    left out."""
    l2_grid: tuple[float, ...] = L2_GRID
    """Penalties of the probe to choose from, on held-out training patients."""
    challenge_weights: FolderPath | None = None
    """weights.csv of a PhysioNet/CinC Challenge, for its score; classes are SNOMED CT codes."""
    examples: int = Field(4, ge=0)
    """Errors that the report shows on ECG paper, those that the classifier is surest of."""
    resamples: int = Field(1000, gt=0)
    """Bootstrap resamples of patients behind each interval."""
    lead_masking: bool = False
    """Score the evaluation recordings again without each group of leads, without each lead, with
    each lead alone and with fewer and fewer leads; a classifier of 12 leads passes over them 31
    times more, one of 8 leads 22 times."""
    seed: int = Field(0, ge=0)
    """Decides random weights, hold-out, order, windows, dropout and resamples."""
    cpu_threads: int | None = Field(None, gt=0)
    """Threads of each process where there is no GPU; by default its share of the cores."""

    @property
    def compared_with(self) -> tuple[Baseline, ...]:
        """The baselines that the mode can be compared with."""
        without: set[Baseline] = {"random"} if self.mode in WITHOUT_ENCODER else set()
        if self.mode != "probe":
            without.add("kernels")
        if self.mode == "cnn_attention_bilstm":
            without.add("supervised")
        return tuple(name for name in dict.fromkeys(self.baselines) if name not in without)

    @model_validator(mode="after")
    def _consistent(self) -> "FinetuneSettings":
        if self.encoder is None and self.mode not in WITHOUT_ENCODER:
            raise ValueError(f"mode {self.mode} needs encoder=<run of pretrain/main.py>")
        wrong = "cross_entropy" if self.multi_label else "bce"
        for name, training in (("training", self.training), ("supervised", self.supervised)):
            if training.loss == wrong:
                raise ValueError(
                    f"{name}.loss {wrong} does not fit multi_label={str(self.multi_label).lower()}"
                )
        return self

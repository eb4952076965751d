"""Settings of fine-tuning and of the evaluation that follows it."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from finetune.classifiers.settings import WITHOUT_ENCODER, Mode
from finetune.data.settings import TaskSettings, UsableSettings
from finetune.networks.settings import (
    CnnAttentionBilstmSettings,
    HierarchicalTransformerSettings,
    LasanSettings,
)
from finetune.run_settings import EvaluationSettings, IntervalSettings, RunSettings
from finetune.training.settings import ProbeSettings, TrainingSettings
from lamae.config import FolderPath
from lamae.ecg.preprocess import Preprocessor
from lamae.model.settings import KernelSettings
from lamae.remote.locations import Location

Baseline = Literal["random", "kernels", "supervised"]
"""random: the same mode with the encoder at random weights, trained as from scratch: its layer
decay is 1, which slows no block down. kernels: of a probe only, features that nothing was trained
for, by themselves and beside the encoder's. supervised: the small network cnn_attention_bilstm,
trained on the same recordings."""

WITHOUT_EFFECT_ON_SCORES = frozenset(
    {
        *("overwrite", "cpu_threads", "data_workers", "examples", "resamples", "lead_masking"),
        "occlusion",
        *("allow_overlap", "pretraining_data", "by_mode", "groups", "cache", "cache_gb"),
        *EvaluationSettings.model_fields,
    }
)
"""Settings that do not affect any score; a run may resume with other values."""


class FinetuneSettings(
    RunSettings, TaskSettings, ProbeSettings, UsableSettings, EvaluationSettings, IntervalSettings
):
    """One classifier on one task, evaluated beside its baselines."""

    encoder: FolderPath | None = None
    """Run of pretrain/main.py, a folder with config.json and model.safetensors, or a YAML file that
    describes another encoder; modes lasan, cnn_attention_bilstm and hierarchical_transformer do
    without."""
    data: Location
    """Labelled shards: a folder, or its URL (s3://, gs://, az://, https://, hf://)."""
    run_dir: FolderPath | None = None
    """Folder for results; by default a new folder in runs/, named by task, mode and time."""
    embeddings: FolderPath | None = None
    """Folder for embeddings; by default <run_dir>/embeddings."""
    mode: Mode = "probe"
    """Part that is trained: probe, attention_probe, full, probe_then_full, lasan, hybrid,
    cnn_attention_bilstm or hierarchical_transformer."""
    by_mode: dict[Mode, dict[str, Any]] = Field({})
    """Settings of single modes, such as {lasan: {training: {loss: focal}}}; one that is given
    outside as well is as given there."""
    baselines: tuple[Baseline, ...] = ("random", "supervised")
    """Classifiers to compare with; one that is the mode itself is left out, and kernels of all
    modes but probe."""
    kernels: KernelSettings = KernelSettings(count=28)
    """The baseline of untrained kernels."""
    preprocess: Preprocessor | None = None
    """From a recording to the array a model reads; by default the encoder's, from which it must
    not differ, and without an encoder twelve leads at 250 Hz."""
    training: TrainingSettings = TrainingSettings()
    """Training of the classifier, in all modes but probe."""
    supervised: TrainingSettings = TrainingSettings()
    """Training of the supervised baseline."""
    lasan: LasanSettings = LasanSettings()
    """Sizes of LASAN, in modes lasan and hybrid."""
    cnn_attention_bilstm: CnnAttentionBilstmSettings = CnnAttentionBilstmSettings(
        batch_norm_momentum=0.1
    )
    """Parts of the supervised network."""
    hierarchical_transformer: HierarchicalTransformerSettings = HierarchicalTransformerSettings()
    """Sizes and switches of the hierarchical transformer."""
    challenge_weights: FolderPath | None = None
    """weights.csv of a PhysioNet/CinC Challenge, for its score; classes are SNOMED CT codes."""
    examples: int = Field(4, ge=0)
    """Wrong recordings that the report shows on ECG paper, those that the classifier is surest of;
    of correct and of borderline ones half as many each."""
    occlusion: int = Field(0, ge=0)
    """Recordings of each of the six most frequent classes in which parts of 0.5 s of single leads
    are hidden, to see what the classifier rests on; each is some 250 passes, and 0 asks of none."""
    lead_masking: bool = False
    """Score the evaluation recordings again without each group of leads, without each lead, with
    each lead alone and with fewer and fewer leads; a classifier of 12 leads passes over them 31
    times more, one of 8 leads 22 times."""
    groups: tuple[str, ...] | None = None
    """Facts about the recordings, such as [sex, site, quality flags, leads present, sampling rate],
    for results by group; by default age and sex, where the shards have them."""
    seed: int = Field(0, ge=0)
    """Decides random weights, hold-out, order, windows, dropout and resamples."""

    @property
    def compared_with(self) -> tuple[Baseline, ...]:
        """The baselines that the mode can be compared with."""
        without: set[Baseline] = {"random"} if self.mode in WITHOUT_ENCODER else set()
        if self.mode != "probe":
            without.add("kernels")
        if self.mode == "cnn_attention_bilstm":
            without.add("supervised")
        return tuple(name for name in dict.fromkeys(self.baselines) if name not in without)

    @model_validator(mode="before")
    @classmethod
    def _take_those_of_the_mode(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("by_mode"), Mapping):
            return values
        own = values["by_mode"].get(values.get("mode", cls.model_fields["mode"].default))
        return _merged(own, values) if isinstance(own, Mapping) else values

    @model_validator(mode="after")
    def _consistent(self) -> "FinetuneSettings":
        if self.encoder is None and self.mode not in WITHOUT_ENCODER:
            raise ValueError(f"mode {self.mode} needs encoder=<run of pretrain/main.py>")
        wrong = "cross_entropy" if self.multi_label else "bce"
        unknown = set(self.exclusive) - set(self.classes or self.exclusive)
        if unknown or (self.exclusive and not self.multi_label):
            raise ValueError(
                f"exclusive {list(self.exclusive)} needs multi_label=true and names of classes="
            )
        for name, training in (("training", self.training), ("supervised", self.supervised)):
            if training.loss == wrong:
                raise ValueError(
                    f"{name}.loss {wrong} does not fit multi_label={str(self.multi_label).lower()}"
                )
        if self.training.visible_share < 1 and self.mode not in ("full", "probe_then_full"):
            raise ValueError(
                f"training.visible_share is for modes full and probe_then_full, not {self.mode}"
            )
        return self


def _merged(values: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of both, section by section; the stronger ones where both give a value."""
    found = {**values, **stronger}
    for key in values.keys() & stronger.keys():
        if isinstance(values[key], Mapping) and isinstance(stronger[key], Mapping):
            found[key] = _merged(values[key], stronger[key])
    return found

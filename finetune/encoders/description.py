"""The description of an encoder that LAMAE did not train: a YAML file beside it.

Nothing in it is code, and nothing is unpickled: ONNX is a graph, HuBERT's weights are safetensors.
A TorchScript file is a program in a language of its own, which can read and write files: take one
only from whom you would take a program.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from lamae.config import ConfigError, FolderPath, Settings, load_settings
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.files import file_sha256, read_json
from lamae.runs.run_folder import CONFIG, WEIGHTS

HUBERT_SIZES = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "conv_dim", "conv_stride", "conv_kernel", "conv_bias", "feat_extract_norm",
    "feat_extract_activation", "feat_proj_layer_norm", "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups", "conv_pos_batch_norm", "do_stable_layer_norm",
    "layer_norm_eps", "initializer_range", "hidden_dropout", "activation_dropout",
    "attention_dropout", "feat_proj_dropout",
)  # fmt: skip
"""Keys of HuBERT's config.json that are used: sizes and parts, never the name of code to load."""

_HUBERT_BLOCKS = 12
"""HubertConfig's own number of blocks: a config.json need not repeat it."""
_HUBERT_ECG: dict[str, Any] = {"signal": "b (l s)", "layout": "tokens", "rescale": "min_max"}
_HUBERT_ECG_READS: dict[str, Any] = {
    "sampling_rate": 100,
    "duration_s": 5.0,
    "band_hz": (0.05, 47.0),
    "normalisation": "none",
}
_STATED = ("leads", "sampling_rate", "duration_s", "band_hz", "normalisation")


class OtherEncoderSettings(Settings):
    """Description of an encoder: its file, its input, its output."""

    kind: Literal["torchscript", "onnx", "hubert"]
    """torchscript, onnx: a network in one file, whose first output is taken. hubert: a folder with
    config.json and model.safetensors of transformers' HubertModel, as HuBERT-ECG's are."""
    file: FolderPath
    """Its path, from the folder of the description."""
    preprocess: Preprocessor
    """From a recording to the array it reads; by default of hubert, HuBERT-ECG's: 12 leads, 5 s at
    100 Hz, 0.05-47 Hz. For a file, leads, rate, duration, band and normalisation must be stated."""
    rescale: Literal["none", "min_max"] = "none"
    """min_max: each lead of a window from -1 at its lowest to 1 at its highest; one that is flat or
    absent is -1. By default of hubert, as HuBERT-ECG was trained."""
    signal: Literal["b l s", "b s l", "b (l s)"] = "b l s"
    """Order of recordings, leads and samples in the array that it reads; b (l s): one lead behind
    the other, as HuBERT-ECG has them."""
    layout: Literal["tokens", "embedding"] = "tokens"
    """Its output: tokens (recordings, tokens, width), or embeddings (recordings, width)."""
    width: int = Field(gt=0)
    """Width of a token or of an embedding."""
    heads: int = Field(8, gt=0)
    """Heads of an attention probe on its tokens."""
    sha256: str | None = None
    """Digest of the file, of hubert that of its weights; checked where it is given."""
    hubert: dict[str, bool | int | float | str | list[int] | None] | None = None
    """Of hubert, its sizes; read from its config.json."""

    @property
    def blocks(self) -> int:
        """Number of blocks that are known by name: HuBERT's; none of a file's."""
        if self.hubert is None:
            return 0
        return int(str(self.hubert.get("num_hidden_layers", _HUBERT_BLOCKS)))

    @property
    def amplitudes(self) -> int:
        """None are known beside its embedding."""
        return 0

    @model_validator(mode="before")
    @classmethod
    def _as_hubert_ecg(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("kind") != "hubert":
            return values
        reads = values.get("preprocess") or {}
        if isinstance(reads, dict):
            reads = _HUBERT_ECG_READS | reads
        return _HUBERT_ECG | values | {"preprocess": reads}

    @model_validator(mode="after")
    def _consistent(self) -> "OtherEncoderSettings":
        unsaid = [name for name in _STATED if name not in self.preprocess.model_fields_set]
        if self.kind != "hubert" and unsaid:
            named = ", ".join(f"preprocess.{name}" for name in unsaid)
            raise ValueError(f"{named}: state what the encoder was trained with")
        if self.kind == "hubert" and (self.signal, self.layout) != ("b (l s)", "tokens"):
            raise ValueError("hubert reads b (l s) and gives tokens: leave signal and layout out")
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} must divide width {self.width}")
        return self


def read_description(path: Path) -> OtherEncoderSettings:
    """Read a description and find what it describes.

    Raises InputError where either is wrong, absent, or not the file that was meant.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(
            f"encoder {path}",
            value=f"a file that ends in {path.suffix or 'nothing'}",
            expected="a run of pretrain/main.py, or a YAML file that describes an encoder",
            remedy=f"Write one with kind, file: {path.name}, preprocess, width and layout.",
        )
    try:
        settings = load_settings(OtherEncoderSettings, [str(path)])
    except ConfigError as error:
        raise InputError(
            f"encoder {path}",
            value=str(error).replace("\n", "; "),
            expected="the description of an encoder",
            remedy="finetune/encoders/description.py tells every key.",
        ) from None
    return located(settings, path.absolute().parent, whose=f"encoder {path}")


def located(settings: OtherEncoderSettings, folder: Path, *, whose: str) -> OtherEncoderSettings:
    """Find the file of a description in `folder`; raises InputError where it is not that file."""
    place = folder / settings.file
    weights = place / WEIGHTS if settings.kind == "hubert" else place
    if not weights.is_file():
        raise InputError(
            f"{whose}, file",
            value=f"no {weights}",
            expected=f"{CONFIG} and {WEIGHTS}" if settings.kind == "hubert" else "a file",
            remedy="Correct file:, which is a path from the folder of the description.",
        )
    digest = file_sha256(weights)
    if settings.sha256 not in (None, digest):
        raise InputError(
            f"{whose}, sha256 of {weights.name}",
            value=digest,
            expected=str(settings.sha256),
            remedy="Copy the file again, or correct sha256.",
        )
    update: dict[str, Any] = {"file": place, "sha256": digest}
    if settings.kind == "hubert":
        config = read_json(place / CONFIG)
        update["hubert"] = {name: config[name] for name in HUBERT_SIZES if name in config}
    return settings.model_copy(update=update)

"""HuBERT-ECG, and any other HuBERT: transformers' HubertModel with weights of a local folder.

Of config.json only sizes are read, and of the folder only safetensors, so nothing in it is run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from finetune.encoders.other_encoder import Network
from lamae.errors import InputError
from lamae.model.model_folder import read_tensors
from lamae.runs.run_folder import CONFIG, WEIGHTS

_PREFIXES = ("", "hubert_ecg.", "hubert.")
"""Prefixes of a weight's name, in a classifier's checkpoint as well."""

_NOW = {
    ".conv.weight_g": ".conv.parametrizations.weight.original0",
    ".conv.weight_v": ".conv.parametrizations.weight.original1",
}
"""Names of weight norm's parts, since torch 2.0."""


class HubertNetwork(Network):
    """HubertModel without what only pretraining and speech need: masking, and dropped layers."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        """Build with random weights.

        Raises InputError for sizes that do not go together, and without transformers.
        """
        super().__init__()
        try:
            from huggingface_hub.errors import StrictDataclassError
            from transformers import HubertConfig, HubertModel
        except ImportError:
            raise InputError(
                "encoder of kind hubert",
                value="transformers is not installed",
                expected="transformers, which has HubertModel",
                remedy="pip install 'lamae[hubert]', in a checkout pip install -e '.[hubert]'.",
            ) from None
        unused = {"apply_spec_augment": False, "mask_time_prob": 0.0, "layerdrop": 0.0}
        values: dict[str, Any] = {**sizes, **unused, "attn_implementation": "sdpa"}
        try:
            self.hubert = HubertModel(HubertConfig(**values))
        except (StrictDataclassError, ValueError, KeyError) as error:
            raise InputError(
                f"encoder of kind hubert, {CONFIG}",
                value=" ".join(str(error).split()),
                expected="sizes of a HubertModel",
                remedy="Copy the file from the release of the model.",
            ) from None

    def forward(self, signal: Float[Tensor, "b samples"]) -> Float[Tensor, "b n d"]:
        """Return the tokens after the last block."""
        return self.hubert(signal).last_hidden_state

    def load(self, folder: Path) -> None:
        """Load the weights of a folder in place; raises InputError if they do not fit."""
        found = {}
        for name, value in read_tensors(folder / WEIGHTS).items():
            for before, now in _NOW.items():
                name = name.replace(before, now)
            found[name] = value
        own = self.hubert.state_dict()
        prefix = next((p for p in _PREFIXES if any(p + name in found for name in own)), "")
        for name, value in own.items():
            weight = found.get(prefix + name)
            if weight is None or weight.shape != value.shape:
                raise InputError(
                    f"weights {folder / WEIGHTS}, {prefix}{name}",
                    value="absent" if weight is None else f"shape {tuple(weight.shape)}",
                    expected=f"shape {tuple(value.shape)}, by {CONFIG}",
                    remedy="Copy both files from one release of the model.",
                )
        self.hubert.load_state_dict({name: found[prefix + name] for name in own})

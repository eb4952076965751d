"""Shards read by the tools of others: a function that they map over samples.

`webdataset.WebDataset(tars).map(decode_ecg)` and `load_dataset("webdataset", ...).map(decode_ecg)`
give every sample its signal, compressed or not. Neither is imported here.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from lamae.errors import InputError
from lamae.storage.samples import decode_signal


def decode_ecg(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample with `digital`, int16 (leads, samples), in place of `ecg` or `npy`.

    Args:
        sample: the members of one key by extension, as bytes or as the tool has decoded them:
            `json` to a mapping, `npy` to an array or lists.

    What `json` says of it turns integers into millivolts: (digital - baseline) / gain. Raises
    InputError for members that are not those of a shard, or damaged.
    """
    about = sample.get("json")
    if isinstance(about, bytes):
        about = json.loads(about)
    signal = sample.get("ecg", sample.get("npy"))
    if not isinstance(about, Mapping) or signal is None:
        raise InputError(
            f"sample {sample.get('__key__', '')}",
            value=f"members {', '.join(sample)}",
            expected="json, and ecg or npy",
            remedy="Map this over shards that shards/main.py has written.",
        )
    others = {name: value for name, value in sample.items() if name not in ("ecg", "npy")}
    return {**others, "digital": _decoded(signal, about, compressed="ecg" in sample)}


def _decoded(signal: Any, about: Mapping[str, Any], *, compressed: bool) -> np.ndarray:
    if compressed:
        return decode_signal(signal, codec="ecg", leads=about["leads"], samples=about["samples"])
    if isinstance(signal, bytes):
        return np.load(io.BytesIO(signal), allow_pickle=False)
    return np.asarray(signal, dtype=np.int16)

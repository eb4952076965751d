"""LAMAE: latent attention masked autoencoder for 12-lead ECG.

One legend of axes for the whole program, in signatures and einops patterns:
b batch (recordings), l leads, s leads that the encoder sees, n patches along time,
p samples in a patch, v visible patches,
t tokens of a lead (its CLS, then its visible patches), d width.
"""

import importlib
from typing import Any

_PUBLIC = {
    "LAMAE": "lamae.autoencoder",
    "Encoder": "lamae.encoder",
    "Preprocessor": "lamae.preprocess",
    "decode_ecg": "lamae.webdataset_decoder",
    "load_autoencoder": "lamae.checkpoint",
    "load_encoder": "lamae.checkpoint",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import lamae` needs no torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lamae' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)

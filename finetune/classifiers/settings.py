"""Modes of classifiers."""

from typing import Literal

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

WITHOUT_ENCODER = ("lasan", "cnn_attention_bilstm", "hierarchical_transformer")
"""Modes that need no encoder."""

"""onnxruntime on ONNX files; it is imported once a file is opened, and torch is not needed."""

import importlib
from pathlib import Path
from typing import Any

from lamae.errors import InputError
from lamae.packages import import_package

SIGNAL, PRESENT, SAMPLES = "signal", "present", "samples"
"""Names of a classifier's inputs: float32 (1, leads, samples), bool (1, leads) for the leads that
there are, and int64 (1,) for the recorded samples, behind which zeros stand."""
LOGITS, EMBEDDING, LEAD_WEIGHTS = "logits", "embedding", "lead_weights"
"""Names of its outputs, float32: (1, classes), and (1, width), (1, leads) of one that has them."""


def open_session(path: Path, *, threads: int) -> Any:
    """Return an onnxruntime.InferenceSession of a file, on the CPU.

    Raises InputError if there is no such file, it is not ONNX, or onnxruntime is not installed.
    """
    runtime = import_package("onnxruntime")
    if not path.is_file():
        raise InputError(
            f"ONNX file {path}",
            value="no such file",
            expected="a file of finetune/main.py export, or an encoder's",
            remedy="Check the path.",
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    damaged = (state.Fail, state.InvalidArgument, state.InvalidProtobuf, state.InvalidGraph)
    try:
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (*damaged, state.NotImplemented) as e:
        raise InputError(
            f"ONNX file {path}",
            value=str(e),
            expected="a network that onnxruntime can read",
            remedy="Export it again, with a version of ONNX that this onnxruntime knows.",
        ) from None

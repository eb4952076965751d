"""onnxruntime on ONNX files; it is imported once a file is opened, and torch is not needed."""

import importlib
from pathlib import Path
from typing import Any

from lamae.errors import InputError

EXTRA = "onnx"
"""The optional dependencies that hold onnx, onnxruntime and onnxscript."""


def open_session(path: Path, *, threads: int) -> Any:
    """Return an onnxruntime.InferenceSession of a file, on the CPU.

    Raises InputError if there is no such file, it is not ONNX, or onnxruntime is not installed.
    """
    runtime = import_extra("onnxruntime")
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


def import_extra(name: str) -> Any:
    """Import a package of the extra; raises InputError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            f"package {name}",
            value="not installed",
            expected="an installation with it",
            remedy=f"pip install 'lamae[{EXTRA}]', in a checkout pip install -e '.[{EXTRA}]'.",
        ) from None

"""An encoder in an ONNX file, computed by onnxruntime on the CPU; it cannot be trained."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from finetune.encoders.other_encoder import Network
from lamae.edge.onnx_session import open_session
from lamae.errors import InputError
from lamae.packages import import_package

_ELSEWHERE = b"\n\x08location\x12"
"""Beginning of an entry of TensorProto.external_data that names another file (onnx.proto)."""


class OnnxNetwork(Network):
    """The graph of an ONNX file."""

    def __init__(self, file: Path) -> None:
        """Read the file; it is given as many threads as torch has now.

        Raises InputError where it is no graph with one input, has weights in another file, of which
        no digest is known and which no classifier would keep, or onnxruntime is not installed.
        """
        super().__init__()
        if _ELSEWHERE in file.read_bytes():
            raise InputError(
                f"encoder {file}",
                value="has weights in another file",
                expected="graph and weights in one file",
                remedy="Export it with external_data=False.",
            )
        self._session = open_session(file, threads=torch.get_num_threads())
        state = import_package("onnxruntime.capi.onnxruntime_pybind11_state")
        self.errors = (state.Fail, state.InvalidArgument, state.RuntimeException)
        inputs = [argument.name for argument in self._session.get_inputs()]
        if len(inputs) != 1:
            raise InputError(
                f"encoder {file}",
                value=f"inputs {', '.join(inputs)}",
                expected="one input, the signal",
                remedy="Export the network without the others.",
            )
        self._input = inputs[0]

    def forward(self, signal: Float[Tensor, "..."]) -> Tensor:
        """Return the first output, on the device of the signal."""
        array = signal.detach().float().cpu().contiguous().numpy()
        first, *_ = self._session.run(None, {self._input: array})
        return torch.from_numpy(first).to(signal.device)

"""An encoder in a TorchScript file.

Its successor torch.export is no alternative for files of others: torch 2.15 unpickles what it
loads, which may be any code, and says so in its documentation. TorchScript's own reader does not.
"""

import warnings
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from finetune.encoders.other_encoder import Network
from lamae.errors import InputError


class TorchScriptNetwork(Network):
    """The module of a TorchScript file, which can be trained unless it was frozen."""

    errors = (RuntimeError, torch.jit.Error)
    """Errors that it raises for an array that it cannot read."""

    def __init__(self, file: Path) -> None:
        """Read the file; raises InputError where it is none."""
        super().__init__()
        try:
            with warnings.catch_warnings():
                # Deprecated for files that one writes oneself; see above.
                warnings.filterwarnings("ignore", message=r"`torch\.jit\.load` is deprecated")
                self.module = torch.jit.load(str(file), map_location="cpu")
        except RuntimeError as error:
            raise InputError(
                f"encoder {file}",
                value=str(error).splitlines()[0],
                expected="a file of torch.jit.save",
                remedy="Export it again; a file of torch.save or torch.export is refused, as it "
                "holds pickled objects.",
            ) from None

    def forward(self, signal: Float[Tensor, "..."]) -> Tensor:
        """Return the first output."""
        found = self.module(signal)
        return found[0] if isinstance(found, tuple | list) else found

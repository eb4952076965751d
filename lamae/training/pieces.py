"""Rows of a tensor that this process holds, where tensors are spread over the processes by rows."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from lamae.errors import InputError
from lamae.runs.run_folder import OPTIMIZER, WEIGHTS
from lamae.training.optim import optimizer_tensors


class Piece(NamedTuple):
    """The part of a tensor that a process holds."""

    tensor: Tensor
    """Its rows; the memory is that of the tensor."""
    shape: tuple[int, ...]
    """Shape of the whole."""
    start: int
    """The first of its rows in the whole."""

    @property
    def stop(self) -> int:
        """The row after its last; a tensor without dimensions counts as one row."""
        return self.start + (self.tensor.shape[0] if self.shape else 1)

    @property
    def is_whole(self) -> bool:
        """True where the process holds all of it."""
        return tuple(self.tensor.shape) == self.shape


def piece_of(tensor: Tensor) -> Piece:
    """Return what this process holds of a tensor: all of it, or as FSDP2 divides it by rows.

    Raises InputError where it is divided in another way.
    """
    shape = tuple(tensor.shape)
    if not isinstance(tensor, DTensor):
        return Piece(tensor.detach(), shape, 0)
    mesh, placements = tensor.device_mesh, tensor.placements
    if mesh.ndim != 1 or not placements[0].is_shard(0):
        raise InputError(
            "tensor of a checkpoint",
            value=f"spread as {placements} over {mesh.ndim} dimensions of processes",
            expected="rows over one dimension of processes, as fully_shard spreads them",
            remedy="Wrap the model by fully_shard with its defaults.",
        )
    rows_each = -(-shape[0] // mesh.size())  # as torch.chunk: the last processes may have none
    start = min(mesh.get_local_rank() * rows_each, shape[0])
    return Piece(tensor.to_local().detach(), shape, start)


def pieces_of_state(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, dict[str, Piece]]:
    """Return what this process holds of weights and optimiser state, by file and name."""
    of_files: Mapping[str, Mapping[str, Tensor]] = {
        WEIGHTS: model.state_dict(),
        OPTIMIZER: optimizer_tensors(model, optimizer),
    }
    return {file: pieces_of(tensors) for file, tensors in of_files.items()}


def pieces_of(tensors: Mapping[str, Tensor]) -> dict[str, Piece]:
    """Return what this process holds of each tensor."""
    return {name: piece_of(tensor) for name, tensor in tensors.items()}


def is_spread(model: nn.Module) -> bool:
    """Return whether the weights of a model are spread over processes."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())

"""Training under FSDP2: weights, gradients and moments spread over the processes by rows.

torch's fully_shard, without accelerate: its plugin has no FSDP for processes on a CPU, where what
is built here is tested. The arithmetic is that of DDP: fp32 weights, and gradients that are
averaged in fp32.
"""

import warnings

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from lamae.model.autoencoder import LAMAE
from lamae.model.layers import Transformer
from lamae.training.optim import AdamW
from pretrain.finite import FiniteSteps
from pretrain.settings import PretrainSettings

_OF_THE_LOSS = "FSDP2-wrapped module .* returned a view tensor"
"""A warning that matters where a result is changed in place, which is done nowhere here."""


class FullyShardedModel:
    """A model whose weights are spread; every process must call each method."""

    def __init__(self, settings: PretrainSettings, accelerator: Accelerator, model: LAMAE) -> None:
        """Spread a model that is the same on all processes, block by block, in place.

        Its optimiser must be made after that.
        """
        warnings.filterwarnings("ignore", message=_OF_THE_LOSS, category=UserWarning)
        self._settings, self._accelerator = settings, accelerator
        self._model = model
        self._whole: LAMAE | None = None
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        for stack in [part for part in model.modules() if isinstance(part, Transformer)]:
            for block in stack.blocks:
                fully_shard(block, mesh=mesh)
        self._root: FSDPModule = fully_shard(model, mesh=mesh)

    @property
    def shard(self) -> tuple[int, int]:
        """Number of this process and of all, each of which holds a part."""
        return self._accelerator.process_index, self._accelerator.num_processes

    def backward(self, share: Tensor, *, is_last: bool) -> None:
        """Add the gradient of a micro-batch; `is_last` for the last one of the step."""
        self._root.set_requires_gradient_sync(is_last)
        share.backward()

    def step(self, optimizer: AdamW, finite: FiniteSteps) -> Tensor:
        """Clip the gradient, and do a step unless it is not finite; return its norm, float32 ()."""
        self._whole = None
        found = nn.utils.clip_grad_norm_(self._model.parameters(), self._settings.clip_norm)
        norm = _full(found)
        optimizer.found_inf = finite.found_inf(norm)
        optimizer.step()
        optimizer.zero_grad()
        return norm

    def autocast(self) -> torch.autocast:
        """Compute in the precision of the run."""
        enabled = self._settings.precision == "bf16"
        device = self._accelerator.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=enabled)

    def whole_model(self) -> LAMAE:
        """Return a copy of the model with all its weights, on the device of each process."""
        if self._whole is None:
            whole = LAMAE(self._settings.model).to(self._accelerator.device)
            whole.load_state_dict({n: _full(v) for n, v in self._model.state_dict().items()})
            self._whole = whole
        return self._whole


def _full(value: Tensor) -> Tensor:
    """Return a tensor whole where it is spread."""
    return value.full_tensor() if isinstance(value, DTensor) else value

"""Training under DeepSpeed's ZeRO: weights, gradients and moments spread over the processes.

Checkpoints are those of any other run: whole tensors, gathered by DeepSpeed's documented
`safe_get_full_*` functions and written by the main process as safetensors and JSON. DeepSpeed's
own checkpoints are pickles, which run what they hold when they are loaded: none is ever written
or read here. So a run may go on under another stage, without DeepSpeed, or in another number of
processes.

DeepSpeed looks at the norm of the gradient on the host, once in each step.
"""

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask, visible_count
from lamae.training.optim import AdamW, adamw
from pretrain.processes.zero_config import configure
from pretrain.settings import PretrainSettings

_MOMENTS = ("exp_avg", "exp_avg_sq")
_PARTITIONED_WEIGHTS = 3


def uses_zero(accelerator: Accelerator) -> bool:
    """Return whether the program was launched under DeepSpeed."""
    return accelerator.distributed_type == DistributedType.DEEPSPEED


class Zero:
    """A model and its optimiser in the hands of DeepSpeed; every process must call each method."""

    def __init__(
        self, settings: PretrainSettings, accelerator: Accelerator, model: LAMAE, optimizer: AdamW
    ) -> None:
        """Spread a model and the state of its optimiser, which may be that of a checkpoint.

        Raises InputError where DeepSpeed's configuration contradicts the settings.
        """
        self.stage = configure(accelerator, settings)
        """1: moments are spread; 2: gradients as well; 3: weights as well."""
        self._settings = settings
        self._device = accelerator.device
        self._is_main = accelerator.is_main_process
        self._module, self._base = model, optimizer
        self._whole: LAMAE | None = None
        moments = {name: optimizer.state.get(p, {}) for name, p in model.named_parameters()}
        optimizer.state.clear()  # by parameters that DeepSpeed replaces
        self.prepared = accelerator.prepare(model, optimizer)
        """Model and optimiser as accelerate prepared them."""
        self._engine = self.prepared[0]
        self._lay_out_moments()
        self._spread_moments(moments)

    def backward(self, share: Tensor, *, is_last: bool) -> None:
        """Add the gradient of a micro-batch; `is_last` for the last one of the step."""
        self._engine.set_gradient_accumulation_boundary(is_last)
        self._engine.backward(share, scale_wrt_gas=False)

    def step(self) -> Tensor:
        """Clip the gradient, and do a step unless it is not finite; return its norm, float32 ()."""
        self._whole = None
        self._engine.step()
        return torch.as_tensor(self._engine.get_global_grad_norm(), dtype=torch.float32)

    def autocast(self) -> torch.autocast:
        """Compute in the precision of the run; accelerate leaves that to DeepSpeed."""
        enabled = self._settings.precision == "bf16"
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=enabled)

    def whole_model(self) -> LAMAE:
        """Return the model with all its weights, on the device of each process."""
        if self.stage < _PARTITIONED_WEIGHTS:
            return self._module
        if self._whole is None:
            self._whole = LAMAE(self._settings.model).to(self._device)
            with torch.no_grad():
                for name, parameter in self._whole.named_parameters():
                    parameter.copy_(_full(self._parameter(name)))
        return self._whole

    def gather(self) -> tuple[LAMAE | None, AdamW | None, bool]:
        """Return model and optimiser whole on the CPU of the main process, None on the others.

        On each process, also whether all weights and moments are finite.
        """
        model = optimizer = None
        if self._is_main:
            model = LAMAE(self._settings.model)
            optimizer = optimizer_of(self._settings, model)
        copies = dict(model.named_parameters()) if model else {}
        is_finite = torch.ones((), dtype=torch.bool, device=self._device)
        step = self._counter()
        for name, parameter in self._module.named_parameters():
            found = {key: _full(parameter, key) for key in (None, *_MOMENTS)}
            for value in found.values():
                is_finite &= torch.isfinite(value).all()
            if optimizer is not None:
                copies[name].data.copy_(found.pop(None))
                state = {key: value.cpu() for key, value in found.items()}
                optimizer.state[copies[name]] = {"step": torch.tensor(step), **state}
        return model, optimizer, bool(is_finite)

    def _lay_out_moments(self) -> None:
        """Let the optimiser make its moments, and DeepSpeed find them: by steps without effect.

        Both happen in the first step of a run, where it is too late for those of a checkpoint.
        Gradients are zero, and the optimiser's kernel changes nothing. DeepSpeed 0.19
        looks for all moments once it has updated the first group of parameters, so the others
        must be there by then; of stage 3 alone it keeps no such list, nor shows the groups.
        """
        self._base.found_inf = torch.ones((), device=self._device)
        shown = [p for group in self._base.param_groups for p in group["params"]]
        for partition in shown:
            partition.grad = torch.zeros_like(partition)
        self._base.step()
        for partition in shown:
            partition.grad = None
        self.backward(0.0 * self._loss_of_a_wave(), is_last=True)
        self._engine.step()
        self._base.found_inf = None

    def _loss_of_a_wave(self) -> Tensor:
        preprocess, model = self._settings.preprocess, self._settings.model
        leads, samples = len(preprocess.leads), preprocess.samples
        wave = torch.linspace(0, 20, leads * samples, device=self._device).sin()
        visible = torch.arange(visible_count(self._settings.patches, model.mask_ratio))
        visible = visible.expand(1, leads, -1).contiguous().to(self._device)
        found = self._engine(wave.view(1, leads, -1), leads=preprocess.leads, mask=Mask(visible))
        return found.loss

    def _spread_moments(self, moments: dict[str, dict[str, Tensor]]) -> None:
        """Put the moments of each parameter where DeepSpeed keeps them."""
        from deepspeed.utils import safe_set_full_optimizer_state

        for name, parameter in self._module.named_parameters():
            for key in _MOMENTS:
                if key in moments[name]:
                    safe_set_full_optimizer_state(parameter, moments[name][key], key)
        counts = [float(state["step"]) for state in moments.values() if "step" in state]
        for state in self._base.state.values():
            state["step"].fill_(max(counts, default=0.0))

    def _counter(self) -> float:
        """Return how many steps AdamW has done, the same for all that it holds."""
        return float(next(iter(self._base.state.values()))["step"])

    def _parameter(self, name: str) -> nn.Parameter:
        return self._module.get_parameter(name)


def optimizer_of(settings: PretrainSettings, model: LAMAE) -> AdamW:
    """Return the optimiser of a run for a model."""
    return adamw(model, lr=settings.lr, weight_decay=settings.weight_decay, betas=settings.betas)


def _full(parameter: nn.Parameter, moment: str | None = None) -> Tensor:
    """Return a weight or one of its moments whole."""
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

    if moment is None:
        return safe_get_full_fp32_param(parameter)
    return safe_get_full_optimizer_state(parameter, moment)

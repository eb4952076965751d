"""DeepSpeed's configuration: what the settings of a run decide, and what would contradict them."""

from typing import Any

from accelerate import Accelerator

from lamae.errors import InputError
from pretrain.settings import PretrainSettings

_OURS = ("optimizer", "scheduler", "data_efficiency", "curriculum_learning", "compression_training")
_STAGES = (1, 2, 3)


def configure(accelerator: Accelerator, settings: PretrainSettings) -> int:
    """Complete DeepSpeed's configuration by the settings of the run; return the stage of ZeRO.

    Raises InputError where it contradicts them.
    """
    config: dict[str, Any] = accelerator.state.deepspeed_plugin.deepspeed_config
    stage = check(config, settings, processes=accelerator.num_processes)
    config |= decided(settings, processes=accelerator.num_processes)
    return stage


def check(config: dict[str, Any], settings: PretrainSettings, *, processes: int) -> int:
    """Return the stage of ZeRO; raises InputError at the first contradiction to the settings."""
    for section in _OURS:
        if section in config:
            _refuse(section, config[section], "none", "LAMAE has its own: leave it out.")
    for key, ours in decided(settings, processes=processes).items():
        if config.get(key, "auto") not in ("auto", ours):
            remedy = 'Write "auto", or change batch_size, accumulation, clip_norm or precision.'
            _refuse(key, config[key], f"{ours}, by the settings of the run", remedy)
    for section in ("fp16", "bf16"):
        if config.get(section, {}).get("enabled") in (True, "true"):
            remedy = "Weights stay fp32: choose the arithmetic by precision=."
            _refuse(f"{section}.enabled", True, "false", remedy)
    return _check_zero(config.get("zero_optimization", {}), settings)


def _check_zero(zero: dict[str, Any], settings: PretrainSettings) -> int:
    for offload in ("offload_optimizer", "offload_param"):
        device = (zero.get(offload) or {}).get("device", "none")
        if device not in ("none", None):
            remedy = "DeepSpeed would put another optimiser in place of LAMAE's: leave it out."
            _refuse(f"zero_optimization.{offload}.device", device, "none", remedy)
    stage = zero.get("stage", 0)
    if stage not in _STAGES:
        _refuse("zero_optimization.stage", stage, "1, 2 or 3", "Without ZeRO, use DDP.")
    if stage == max(_STAGES) and settings.compile:
        remedy = "Use a lower stage, or compile=false."
        _refuse("zero_optimization.stage", stage, "1 or 2 with compile=true", remedy)
    if stage == max(_STAGES) and settings.ema is not None:
        remedy = "No process has whole weights to average: use a lower stage, or ema=null."
        _refuse("zero_optimization.stage", stage, "1 or 2 with ema", remedy)
    if stage == max(_STAGES) and settings.activation_checkpointing:
        remedy = "Weights come and go in backward: use a lower stage, or the setting false."
        _refuse("zero_optimization.stage", stage, "1 or 2 with activation_checkpointing", remedy)
    return int(stage)


def decided(settings: PretrainSettings, *, processes: int) -> dict[str, Any]:
    """Return what the settings of a run decide of DeepSpeed's configuration."""
    size, parts = settings.batch_size, settings.accumulation
    return {
        "train_batch_size": size,
        "train_micro_batch_size_per_gpu": size // (parts * processes),
        "gradient_accumulation_steps": parts,
        "gradient_clipping": settings.clip_norm,
        "torch_autocast": {
            "enabled": settings.precision == "bf16",
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],  # of which gradients would be averaged in bf16
        },
    }


def _refuse(key: str, value: object, expected: str, remedy: str) -> None:
    raise InputError(f"DeepSpeed setting {key}", value=str(value), expected=expected, remedy=remedy)

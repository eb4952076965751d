"""DeepSpeed's configuration: what is completed by the settings of a run, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamae.errors import InputError
from pretrain.processes.zero_config import check, decided
from pretrain.settings import PretrainSettings

MakeSettings = Callable[..., PretrainSettings]
ROOT = Path(__file__).resolve().parents[1]


def zero_config(**changes: Any) -> dict[str, Any]:
    """Return what we ship for stage 2 as accelerate hands it on, with changes."""
    shipped = json.loads((ROOT / "configs/deepspeed/zero2.json").read_text())
    disabled = {"fp16": {"enabled": False}, "bf16": {"enabled": False}}
    return shipped | disabled | changes


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_what_we_ship_contradicts_no_setting(make_settings: MakeSettings, stage: int) -> None:
    shipped = json.loads((ROOT / f"configs/deepspeed/zero{stage}.json").read_text())
    settings = make_settings(accumulation=2, clip_norm=0.3, precision="bf16")
    assert check(shipped, settings, processes=2) == stage
    made = decided(settings, processes=2)
    assert made["train_micro_batch_size_per_gpu"] * 2 * 2 == made["train_batch_size"] == 8
    assert check(shipped | made, settings, processes=2) == stage
    assert made["torch_autocast"]["enabled"] and made["gradient_clipping"] == 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gradient_accumulation_steps": 4}, r"gradient_accumulation_steps: 4; expected 1, by"),
        ({"gradient_clipping": 5.0}, r"gradient_clipping: 5\.0; expected 1\.0, by"),
        ({"train_batch_size": 64}, r"train_batch_size: 64; expected 8, by"),
        ({"train_micro_batch_size_per_gpu": 8}, r"size_per_gpu: 8; expected 4, by.*auto"),
        ({"bf16": {"enabled": True}}, r"bf16\.enabled: True; expected false.*precision="),
        ({"fp16": {"enabled": True}}, r"fp16\.enabled: True; expected false"),
        ({"optimizer": {"type": "Adam"}}, r"optimizer: .*; expected none.*its own"),
        ({"scheduler": {"type": "WarmupLR"}}, r"scheduler: .*; expected none"),
        ({"zero_optimization": {"stage": 0}}, r"stage: 0; expected 1, 2 or 3"),
        (
            {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}},
            r"offload_optimizer\.device: cpu; expected none",
        ),
    ],
)
def test_a_setting_of_deepspeed_that_contradicts_ours_is_refused_by_name(
    make_settings: MakeSettings, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=f"DeepSpeed setting .*{message}"):
        check(zero_config(**changes), make_settings(), processes=2)


def test_compiling_under_zero_3_is_refused(make_settings: MakeSettings) -> None:
    spread = zero_config(zero_optimization={"stage": 3})
    assert check(zero_config(), make_settings(compile=True), processes=1) == 2
    with pytest.raises(InputError, match="expected 1 or 2 with compile=true"):
        check(spread, make_settings(compile=True), processes=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema": 0.9}, "expected 1 or 2 with ema.*ema=null"),
        ({"activation_checkpointing": True}, "expected 1 or 2 with activation_checkpointing"),
    ],
)
def test_what_needs_whole_weights_is_refused_under_zero_3(
    make_settings: MakeSettings, changes: dict[str, Any], message: str
) -> None:
    spread = zero_config(zero_optimization={"stage": 3})
    assert check(zero_config(), make_settings(**changes), processes=1) == 2
    with pytest.raises(InputError, match=message):
        check(spread, make_settings(**changes), processes=1)

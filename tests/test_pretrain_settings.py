"""Tests of pretrain.settings."""

import subprocess
import sys
from typing import Any

import pytest

from lamae.config import ConfigError, load_settings, read_settings
from pretrain.settings import PretrainSettings

_SLOW = ("torch", "scipy", "matplotlib", "accelerate", "timm", "pyarrow", "safetensors")


def test_settings_are_understood_without_a_package_that_takes_seconds_to_load() -> None:
    program = (
        "import sys\n"
        "from pretrain.settings import PretrainSettings\n"
        "PretrainSettings(data='shards', run_dir='run')\n"
        f"print(*(name for name in {_SLOW} if name in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == ""


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("most_skipped=3", "max_skipped"),
        ("preprocess.largest_missing_share=0.1", "preprocess.max_missing_share"),
    ],
)
def test_a_key_of_before_is_refused_with_its_new_name(given: str, named: str) -> None:
    with pytest.raises(ConfigError, match=f"now named {named}"):
        load_settings(PretrainSettings, ["data=shards", "run_dir=run", given])


def test_settings_that_an_earlier_version_saved_are_read_under_their_new_names() -> None:
    saved: dict[str, Any] = {"data": "shards", "run_dir": "run", "most_skipped": 3}
    saved |= {"preprocess": {"largest_missing_share": 0.1}}
    settings = read_settings(PretrainSettings, saved)
    assert (settings.max_skipped, settings.preprocess.max_missing_share) == (3, 0.1)


def test_compiling_with_activation_checkpointing_is_refused() -> None:
    given = ["data=shards", "run_dir=run", "compile=true", "activation_checkpointing=true"]
    with pytest.raises(ConfigError, match="activation_checkpointing are not used together"):
        load_settings(PretrainSettings, given)

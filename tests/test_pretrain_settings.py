"""Tests of pretrain.settings."""

import subprocess
import sys

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

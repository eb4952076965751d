"""Settings of a run: those of its mode, keys of before, and modules without torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from finetune.classifiers.settings import WITHOUT_ENCODER, Mode
from finetune.commands import VERBS
from finetune.settings import FinetuneSettings
from lamae.config import ConfigError, load_settings

ROOT = Path(__file__).resolve().parents[1]
TASKS = sorted((ROOT / "configs" / "finetune").glob("ptbxl_*.yaml"))


def load(*arguments: str) -> FinetuneSettings:
    return load_settings(FinetuneSettings, ["data=shards", *arguments])


def test_a_mode_takes_its_own_settings_and_what_is_given_outside_is_stronger() -> None:
    by_mode = "by_mode={lasan: {training: {epochs: 3, lr: 0.1}, label_set: form}, full: {seed: 9}}"
    found = load("mode=lasan", by_mode, "training.lr=0.2")
    assert (found.training.epochs, found.training.lr, found.label_set) == (3, 0.2, "form")
    assert found.seed == 0
    assert load("encoder=run", by_mode, "mode=full").seed == 9
    assert (
        load("encoder=run", by_mode).training == FinetuneSettings.model_fields["training"].default
    )


@pytest.mark.parametrize(
    ("by_mode", "problem"),
    [
        ("by_mode={lassan: {seed: 1}}", "by_mode"),
        ("by_mode={lasan: {seeed: 1}}", "seeed"),
        ("by_mode={lasan: 1}", "by_mode"),
        ("by_mode=lasan", "by_mode"),
    ],
)
def test_settings_of_a_mode_that_cannot_be_are_refused(by_mode: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load("mode=lasan", by_mode)


@pytest.mark.parametrize("task", TASKS, ids=lambda path: path.stem)
def test_a_task_of_ptb_xl_has_settings_for_every_mode(task: Path) -> None:
    for mode in get_args(Mode):
        encoder = [] if mode in WITHOUT_ENCODER else ["encoder=run"]
        found = load(str(task), f"mode={mode}", *encoder)
        assert found.mode == mode
    own: dict[str, Any] = yaml.safe_load(task.read_text())
    assert set(own.get("by_mode", {})) <= set(get_args(Mode))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("training.part_size=4", "training.micro_batch_size"),
        ("supervised.part_size=4", "supervised.micro_batch_size"),
        ("icd10.fewest=4", "icd10.min_recordings"),
        ("icd10.most_frequent=4", "icd10.max_classes"),
        ("icd10.characters=4", "icd10.max_characters"),
    ],
)
def test_a_key_of_before_is_refused_with_its_present_name(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"now named {new}"):
        load("mode=lasan", old)


def test_no_settings_of_a_verb_load_torch() -> None:
    modules = sorted({verb.settings.partition(":")[0] for verb in VERBS.values()})
    heavy = "{'torch', 'scipy', 'matplotlib', 'accelerate'}"
    program = f"import sys, {', '.join(modules)}; print({heavy} & set(sys.modules))"
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "set()"

"""Tests of pretrain.processes.launch."""

import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from lamae.runs.run_folder import WEIGHTS
from pretrain import run
from pretrain.processes import launch
from pretrain.processes.launch import deterministic_algorithms
from pretrain.settings import PretrainSettings

MakeSettings = Callable[..., PretrainSettings]


@pytest.mark.parametrize("wanted", [False, True])
def test_deterministic_algorithms_are_used_while_a_run_wants_them(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    seen = list[bool]()
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    monkeypatch.setattr(run, "make_accelerator", lambda settings: None)
    monkeypatch.setattr(
        run, "pretrain", lambda *_: seen.append(torch.are_deterministic_algorithms_enabled())
    )
    run.start(make_settings(deterministic=wanted))
    assert seen == [wanted]
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_every_operation_of_a_run_has_a_deterministic_form_and_on_a_cpu_the_same_result(
    make_settings: MakeSettings,
    accelerator: Accelerator,
    pretrained_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    settings = make_settings()
    with deterministic_algorithms(True):
        run.pretrain(settings, accelerator)
    name = f"model/{WEIGHTS}"
    assert (settings.run_dir / name).read_bytes() == (pretrained_run / name).read_bytes()
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")


def test_gradients_are_views_of_the_buckets_that_processes_exchange(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Mock(return_value=Mock(spec=Accelerator))
    monkeypatch.setattr(launch, "Accelerator", made)
    launch.make_accelerator(make_settings())
    handlers = made.call_args.kwargs["kwargs_handlers"]
    views = [h for h in handlers if isinstance(h, DistributedDataParallelKwargs)]
    assert [handler.gradient_as_bucket_view for handler in views] == [True]

"""Models come back as they were, and what cannot come back is named."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.model.checkpoint import load_autoencoder, load_encoder, save_model
from lamae.model.encoder import Encoder
from lamae.model.settings import AutoencoderSettings
from lamae.runs.checksums import CHECKSUMS, write_checksums
from lamae.runs.run_folder import CONFIG, MODEL_FILES, OPTIMIZER, WEIGHTS, checkpoint_folder

LEADS = ("II", "V1", "V5")
PREPROCESSOR = Preprocessor(leads=LEADS, sampling_rate=50, duration_s=4, band_hz=(1.0, 20.0))


def make_model(**encoder: Any) -> LAMAE:
    sizes = {"patch_size": 50, "width": 16, "depth": 1, "heads": 2, "latent_depth": 1}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    settings = {"encoder": sizes | encoder, "decoder": decoder}
    return LAMAE(AutoencoderSettings.model_validate(settings))


def save(run_dir: Path, *, step: int = 3) -> Path:
    """Write a checkpoint that holds a model and, in place of training state, a note."""
    torch.manual_seed(step)
    folder = checkpoint_folder(run_dir, step)
    save_model(folder, make_model(), PREPROCESSOR, step=step)
    (folder / OPTIMIZER).write_text("for loading a model, whole is enough")
    write_checksums(folder)
    return folder


def embed(encoder: Encoder) -> torch.Tensor:
    signal = torch.randn(2, 3, 200, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return encoder(signal, LEADS).embedding


def test_an_encoder_comes_back_bit_for_bit_and_with_its_preprocessor(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = make_model(stem="conv", lead_embedding=True)
    save_model(tmp_path / "model", model, PREPROCESSOR)
    torch.manual_seed(2)
    found = load_encoder(tmp_path / "model")
    assert torch.equal(embed(found.model), embed(model.encoder.eval()))
    assert found.preprocessor == PREPROCESSOR
    assert not found.model.training


def test_a_run_a_model_folder_and_a_checkpoint_can_all_be_loaded(pretrained_run: Path) -> None:
    expected = load_file(pretrained_run / "model" / WEIGHTS)
    for place in (".", "model", "checkpoints/step-00000008"):
        found = load_autoencoder(pretrained_run / place).model.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    earlier = load_autoencoder(pretrained_run / "checkpoints/step-00000004").model.state_dict()
    assert not all(torch.equal(earlier[name], expected[name]) for name in expected)


def test_an_unfinished_run_gives_its_newest_checkpoint(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        save(tmp_path, step=step)
    newest = load_file(tmp_path / "checkpoints/step-00000010" / WEIGHTS)
    found = load_autoencoder(tmp_path).model.state_dict()
    assert all(torch.equal(found[name], newest[name]) for name in newest)


@pytest.mark.parametrize(
    ("step_of_model", "taken"), [(4, "checkpoints/step-00000009"), (9, "model"), (20, "model")]
)
def test_a_run_gives_the_model_with_the_most_steps(
    tmp_path: Path, step_of_model: int, taken: str
) -> None:
    """A finished run that was made longer and interrupted has a checkpoint after its model."""
    for step in (4, 9):
        save(tmp_path, step=step)
    torch.manual_seed(99)
    save_model(tmp_path / "model", make_model(), PREPROCESSOR, step=step_of_model)
    expected = load_file(tmp_path / taken / WEIGHTS)
    found = load_autoencoder(tmp_path).model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_weights_that_do_not_fit_their_configuration_are_named(tmp_path: Path) -> None:
    folder = save(tmp_path)
    shutil.copy(folder / WEIGHTS, tmp_path)
    save_model(tmp_path / "wide", make_model(width=32), PREPROCESSOR)
    shutil.copy(tmp_path / WEIGHTS, tmp_path / "wide")
    write_checksums(tmp_path / "wide")
    message = r"weights .*wide.*, decoder\.\S+: shape \(16, 16\); expected \(16, 32\), by config"
    with pytest.raises(InputError, match=message):
        load_encoder(tmp_path / "wide")
    save_model(tmp_path / "deep", make_model(depth=2), PREPROCESSOR)
    shutil.copy(tmp_path / WEIGHTS, tmp_path / "deep")
    write_checksums(tmp_path / "deep")
    with pytest.raises(InputError, match=r"encoder\.per_lead\.blocks\.1\.\S+: shape absent"):
        load_encoder(tmp_path / "deep")


def test_a_model_that_its_weights_do_not_fill_is_refused_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path)
    config = json.loads((folder / CONFIG).read_text())
    config["model"]["encoder"]["width"] = 2**14
    (folder / CONFIG).write_text(json.dumps(config))
    write_checksums(folder)
    built = set[str]()

    def noted(model: nn.Linear, *sizes: Any, **more: Any) -> None:
        linear(model, *sizes, **more)
        built.add(model.weight.device.type)

    linear = nn.Linear.__init__
    monkeypatch.setattr(nn.Linear, "__init__", noted)
    with pytest.raises(InputError, match=r"weights .* by config"):
        load_encoder(folder)
    assert built == {"meta"}


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("encoder", "width", 10**30),
        ("encoder", "depth", 10**6),
        ("encoder", "latent_depth", 10**6),
        ("encoder", "patch_size", 10**9),
        ("decoder", "depth", 10**6),
        ("features", "kernels", {"dilations": [1] * 10**5}),
    ],
)
def test_a_model_of_a_stranger_that_cannot_be_is_refused_at_once(
    tmp_path: Path, section: str, key: str, value: object
) -> None:
    folder = save(tmp_path)
    config = json.loads((folder / CONFIG).read_text())
    config["model"][section][key] = value
    (folder / CONFIG).write_text(json.dumps(config))
    write_checksums(folder)
    with pytest.raises(InputError, match=rf"a model .*{section}\.{key}") as refused:
        load_encoder(folder)
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    "content", ['{"a":' * 100_000, "[" * 100_000, '{"model": null}', '{"model": "x"}', "[]", "1"]
)
def test_a_configuration_that_is_none_ends_in_a_sentence(tmp_path: Path, content: str) -> None:
    folder = save(tmp_path)
    (folder / CONFIG).write_text(content)
    write_checksums(folder)
    with pytest.raises(InputError, match=CONFIG):
        load_encoder(folder)


def test_a_window_longer_than_an_hour_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    config = json.loads((folder / CONFIG).read_text())
    config["preprocess"]["duration_s"] = 1e9
    (folder / CONFIG).write_text(json.dumps(config))
    write_checksums(folder)
    with pytest.raises(InputError, match=r"duration_s.*less than or equal to 3600"):
        load_encoder(folder)


def test_a_finished_run_whose_step_is_no_number_is_named(tmp_path: Path) -> None:
    save_model(tmp_path / "model", make_model(), PREPROCESSOR)
    (tmp_path / "model" / "state.json").write_text('{"step": "x"}')
    write_checksums(tmp_path / "model")
    with pytest.raises(InputError, match="step 'x'; expected the number of a step"):
        load_encoder(tmp_path)


def _without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda config: config.pop(key)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_without("preprocess"), "preprocess"),
        (lambda config: config["model"]["encoder"].update(experts=8), "experts"),
        (lambda config: config["preprocess"].update(leads=["X"]), "'X'"),
    ],
)
def test_a_configuration_of_another_version_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], named: str
) -> None:
    folder = save(tmp_path)
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))
    write_checksums(folder)
    with pytest.raises(InputError, match=rf"model .*{CONFIG}: .*{named}.*; expected the config"):
        load_encoder(folder)


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"model folder {tmp_path}: no config\.json"):
        load_encoder(tmp_path)
    with pytest.raises(InputError, match=r"model folder .*nowhere: no such folder"):
        load_encoder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [*MODEL_FILES, CHECKSUMS])
def test_a_damaged_model_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    save_model(tmp_path / "model", make_model(), PREPROCESSOR)
    whole = (tmp_path / "model" / name).read_bytes()
    named = (
        r"\S+" if name == CHECKSUMS else re.escape(name)
    )  # the checksums may then accuse another file
    for place in (0, len(whole) // 2, len(whole) - 1):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1
        (tmp_path / "model" / name).write_bytes(spoilt)
        for folder in (tmp_path, tmp_path / "model"):
            with pytest.raises(InputError, match=rf"folder .*model: file {named}: "):
                load_encoder(folder)


def test_a_model_without_checksums_is_refused_until_its_owner_writes_them(tmp_path: Path) -> None:
    save_model(tmp_path / "model", make_model(), PREPROCESSOR)
    (tmp_path / "model" / CHECKSUMS).unlink()
    with pytest.raises(InputError, match=r"no files\.json, .*checksums\.write_checksums\(folder\)"):
        load_encoder(tmp_path / "model")
    write_checksums(tmp_path / "model")
    load_encoder(tmp_path / "model")


def test_a_run_whose_newest_checkpoint_is_damaged_gives_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = load_file(save(tmp_path, step=4) / WEIGHTS)
    (save(tmp_path, step=9) / WEIGHTS).write_bytes(b"")
    found = load_autoencoder(tmp_path).model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert "step-00000009 is damaged: file model.safetensors: 0 bytes" in caplog.text
    with pytest.raises(InputError, match="0 bytes"):
        load_autoencoder(checkpoint_folder(tmp_path, 9))


def test_a_finished_run_needs_no_checkpoint(tmp_path: Path) -> None:
    (save(tmp_path, step=4) / WEIGHTS).write_bytes(b"")
    save_model(tmp_path / "model", make_model(), PREPROCESSOR, step=4)
    load_autoencoder(tmp_path)


def test_every_file_of_a_model_may_be_read_by_whom_the_umask_lets_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_model(tmp_path / "model", make_model(), PREPROCESSOR)
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "model").iterdir()}
    assert set(modes.values()) == {"0o640"}

"""Models and training state come back as they were, and what cannot come back is named."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lamae.autoencoder import LAMAE, AutoencoderSettings
from lamae.checkpoint import (
    CONFIG,
    OPTIMIZER,
    STATE,
    WEIGHTS,
    load_autoencoder,
    load_checkpoint,
    load_encoder,
    newest_checkpoint,
    save_checkpoint,
    save_model,
)
from lamae.encoder import Encoder
from lamae.errors import InputError
from lamae.optim import adamw
from lamae.preprocess import Preprocessor

LEADS = ("II", "V1", "V5")
PREPROCESSOR = Preprocessor(leads=LEADS, sampling_rate=50, duration_s=4, band_hz=(1.0, 20.0))


def make_model(**encoder: Any) -> LAMAE:
    sizes = {"patch_size": 50, "width": 16, "depth": 1, "heads": 2, "latent_depth": 1}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    settings = {"encoder": sizes | encoder, "decoder": decoder}
    return LAMAE(AutoencoderSettings.model_validate(settings))


def make_optimizer(model: LAMAE) -> torch.optim.Optimizer:
    return adamw(model, lr=1e-2, weight_decay=0.1, betas=(0.9, 0.95))


def save(folder: Path, *, step: int = 3, keep: int = 9, **state: object) -> Path:
    """Write a checkpoint of a model whose optimiser has moments."""
    torch.manual_seed(step)
    model = make_model()
    optimizer = make_optimizer(model)
    visible = torch.tensor([[[0, 2]] * 3])
    model(torch.randn(1, 3, 200), LEADS, visible=visible).loss.backward()
    optimizer.step()
    return save_checkpoint(
        folder,
        step=step,
        model=model,
        optimizer=optimizer,
        preprocessor=PREPROCESSOR,
        state=state,
        keep=keep,
    )


def load(
    folder: Path, model: LAMAE | None = None, preprocessor: Preprocessor = PREPROCESSOR
) -> dict[str, Any]:
    model = model or make_model()
    optimizer = make_optimizer(model)
    return load_checkpoint(folder, model=model, optimizer=optimizer, preprocessor=preprocessor)


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


def test_a_model_of_an_older_version_gives_way_to_a_checkpoint(tmp_path: Path) -> None:
    save_model(tmp_path / "model", make_model(), PREPROCESSOR)
    (tmp_path / "model" / STATE).unlink()
    weights = load_file(tmp_path / "model" / WEIGHTS)
    found = load_autoencoder(tmp_path).model.state_dict()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    newest = load_file(save(tmp_path, step=4) / WEIGHTS)
    found = load_autoencoder(tmp_path).model.state_dict()
    assert all(torch.equal(found[name], newest[name]) for name in newest)


def test_optimiser_and_state_come_back_as_they_were(tmp_path: Path) -> None:
    folder = save(tmp_path, step=3, note="kept")
    model = make_model()
    optimizer = make_optimizer(model)
    state = load_checkpoint(folder, model=model, optimizer=optimizer, preprocessor=PREPROCESSOR)
    assert state == {"step": 3, "note": "kept"}
    written = load_file(folder / OPTIMIZER)
    loaded = {
        f"{key}.{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }
    assert loaded.keys() == written.keys()
    assert all(torch.equal(loaded[name], written[name]) for name in written)
    assert sum(name.startswith("exp_avg_sq.") for name in loaded) == len(list(model.parameters()))


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    message = r"checkpoint .*step-00000003, model\.encoder\.depth: 1; expected 2, as configured"
    with pytest.raises(InputError, match=message):
        load(folder, make_model(depth=2))


def test_a_checkpoint_of_another_preprocessor_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    other = PREPROCESSOR.model_copy(update={"normalisation": "lead"})
    message = r"checkpoint .*, preprocess\.normalisation: 'record'; expected 'lead'"
    with pytest.raises(InputError, match=message):
        load(folder, preprocessor=other)


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER, CONFIG, STATE])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_or_missing_file_is_named(tmp_path: Path, name: str, share: float) -> None:
    folder = save(tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=rf"file .*{name}: .*expected a whole"):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"file .*{name}: .*No such file"):
        load(folder)


def test_weights_that_do_not_fit_their_configuration_are_named(tmp_path: Path) -> None:
    folder = save(tmp_path)
    shutil.copy(folder / WEIGHTS, tmp_path)
    save_model(tmp_path / "wide", make_model(width=32), PREPROCESSOR)
    shutil.copy(tmp_path / WEIGHTS, tmp_path / "wide")
    message = r"weights .*wide.*, decoder\.\S+: shape \(16, 16\); expected \(16, 32\), by config"
    with pytest.raises(InputError, match=message):
        load_encoder(tmp_path / "wide")
    save_model(tmp_path / "deep", make_model(depth=2), PREPROCESSOR)
    shutil.copy(tmp_path / WEIGHTS, tmp_path / "deep")
    with pytest.raises(InputError, match=r"encoder\.per_lead\.blocks\.1\.\S+: shape absent"):
        load_encoder(tmp_path / "deep")


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
    with pytest.raises(InputError, match=rf"model .*{CONFIG}: .*{named}.*; expected the arch"):
        load_encoder(folder)


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"model folder {tmp_path}: no config\.json"):
        load_encoder(tmp_path)
    with pytest.raises(InputError, match=r"model folder .*nowhere: no such folder"):
        load_encoder(tmp_path / "nowhere")


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        save(tmp_path, step=step, keep=2)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000015", "step-00000020"]


def test_a_half_written_checkpoint_is_never_taken(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    whole = save(tmp_path, step=4)
    half = tmp_path / "checkpoints" / "step-00000009.partial"
    shutil.copytree(whole, half)
    assert newest_checkpoint(tmp_path) == whole
    save(tmp_path, step=9)
    assert not half.exists()


def test_an_error_while_writing_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    whole = save(tmp_path, step=4)
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    for step in (4, 5):
        with pytest.raises(TypeError, match="not JSON serializable"):
            save(tmp_path, step=step, unwritable=object())
    assert list((tmp_path / "checkpoints").iterdir()) == [whole]
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before


class _Payload:
    """What a pickle of it does when it is loaded: make a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER])
def test_a_pickle_in_place_of_weights_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    folder, marker = save(tmp_path), tmp_path / "executed"
    pickle.loads(pickle.dumps(_Payload(marker)))
    assert marker.exists(), "the payload works where something unpickles it"
    marker.unlink()
    (folder / name).write_bytes(pickle.dumps(_Payload(marker)))
    with pytest.raises(InputError, match=name):
        load(folder)
    assert not marker.exists()

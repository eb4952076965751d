"""Training state comes back as it was, and what cannot come back is named."""

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask
from lamae.model.settings import AutoencoderSettings
from lamae.runs.checksums import CHECKSUMS, write_checksums
from lamae.runs.run_folder import (
    CHECKPOINT_FILES,
    OPTIMIZER,
    WEIGHTS,
    Attempt,
)
from lamae.training.optim import adamw
from lamae.training.training_state import load_checkpoint, save_checkpoint

LEADS = ("II", "V1", "V5")
PREPROCESSOR = Preprocessor(leads=LEADS, sampling_rate=50, duration_s=4, band_hz=(1.0, 20.0))


def make_model(**encoder: Any) -> LAMAE:
    sizes = {"patch_size": 50, "width": 16, "depth": 1, "heads": 2, "latent_depth": 1}
    decoder = {"width": 16, "depth": 1, "heads": 2}
    settings = {"encoder": sizes | encoder, "decoder": decoder}
    return LAMAE(AutoencoderSettings.model_validate(settings))


def make_optimizer(model: LAMAE) -> torch.optim.Optimizer:
    return adamw(model, lr=1e-2, weight_decay=0.1, betas=(0.9, 0.95))


def save(
    run_dir: Path, *, step: int = 3, attempt: Attempt | None = None, seed: int = 0, **state: object
) -> Path:
    """Write a checkpoint of a model whose optimiser has moments, all drawn from step and seed."""
    torch.manual_seed(1000 * seed + step)
    model = make_model()
    optimizer = make_optimizer(model)
    mask = Mask(torch.tensor([[[0, 2]] * 3]))
    model(torch.randn(1, 3, 200), LEADS, mask=mask).loss.backward()
    optimizer.step()
    return save_checkpoint(
        run_dir,
        step=step,
        model=model,
        optimizer=optimizer,
        preprocessor=PREPROCESSOR,
        state=state,
        attempt=attempt or Attempt(run_dir),
    )


def load(
    folder: Path, model: LAMAE | None = None, preprocessor: Preprocessor = PREPROCESSOR
) -> dict[str, Any]:
    model = model or make_model()
    optimizer = make_optimizer(model)
    return load_checkpoint(folder, model=model, optimizer=optimizer, preprocessor=preprocessor)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_optimiser_and_state_come_back_as_they_were(tmp_path: Path) -> None:
    folder = save(tmp_path, step=3, note="kept")
    model = make_model()
    optimizer = make_optimizer(model)
    state = load_checkpoint(folder, model=model, optimizer=optimizer, preprocessor=PREPROCESSOR)
    assert state == {"step": 3, "attempt": 1, "note": "kept"}
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
    write_checksums(folder)  # as whoever put it there can
    with pytest.raises(InputError, match=name):
        load(folder)
    assert not marker.exists()


@pytest.mark.parametrize("name", [*CHECKPOINT_FILES, CHECKSUMS])
def test_a_flipped_bit_in_any_file_is_refused_and_named(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path)
    whole = (folder / name).read_bytes()
    named = (
        r"\S+" if name == CHECKSUMS else re.escape(name)
    )  # the seal may then accuse another file
    for bit in (0, 4 * len(whole), 8 * len(whole) - 1):
        spoilt = bytearray(whole)
        spoilt[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(spoilt)
        with pytest.raises(InputError, match=rf"folder .*step-00000003: file {named}: "):
            load(folder)
    (folder / name).write_bytes(whole)
    load(folder)


def test_an_interrupted_optimiser_goes_on_as_one_that_was_not(tmp_path: Path) -> None:
    """Two steps, against one, a checkpoint and another, by the bit."""

    def step(model: LAMAE, optimizer: torch.optim.Optimizer, number: int) -> None:
        draws = torch.Generator().manual_seed(number)
        signal = torch.randn(1, 3, 200, generator=draws)
        optimizer.zero_grad()
        model(signal, LEADS, mask=Mask(torch.tensor([[[0, 2]] * 3]))).loss.backward()
        optimizer.step()

    torch.manual_seed(0)
    whole = make_model()
    optimizer = make_optimizer(whole)
    step(whole, optimizer, 1)
    folder = save_checkpoint(
        tmp_path,
        step=1,
        model=whole,
        optimizer=optimizer,
        preprocessor=PREPROCESSOR,
        state={},
        attempt=Attempt(tmp_path),
    )
    step(whole, optimizer, 2)
    resumed = make_model()
    again = make_optimizer(resumed)
    load_checkpoint(folder, model=resumed, optimizer=again, preprocessor=PREPROCESSOR)
    step(resumed, again, 2)
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.state_dict().items())


def test_a_checkpoint_is_never_replaced_by_other_weights(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    folder = save(tmp_path, attempt=attempt, seconds=1.0)
    before = contents(folder)
    assert save(tmp_path, attempt=attempt, seconds=2.0) == folder
    with pytest.raises(InputError, match=r"step-00000003: exists, with another model\.saf.*optim"):
        save(tmp_path, attempt=attempt, seed=1)
    assert contents(folder) == before
    assert list(folder.parent.iterdir()) == [folder]
    (folder / WEIGHTS).write_bytes(b"")
    with pytest.raises(InputError, match=r"exists, with file model\.safetensors: 0 bytes"):
        save(tmp_path, attempt=attempt)

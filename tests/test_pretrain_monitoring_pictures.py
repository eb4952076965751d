"""Pictures of a run: the same recordings and masks each time, and training as without them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from matplotlib.image import imread

from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.figures.reconstruction_picture import reconstruction_figure
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask
from lamae.model.settings import AutoencoderSettings
from lamae.storage.corpus import Corpus
from pretrain.monitoring import pictures as pictures_module
from pretrain.monitoring.pictures import Pictures
from pretrain.settings import PictureSettings

PREPROCESSOR = Preprocessor(sampling_rate=50, duration_s=5, band_hz=None)
MODEL = AutoencoderSettings.model_validate(
    {
        "encoder": {"patch_size": 50, "width": 16, "depth": 1, "heads": 2, "latent_depth": 1},
        "decoder": {"width": 16, "depth": 1, "heads": 2},
    }
)


def make_pictures(corpus: Corpus, accelerator: Accelerator, **changes: Any) -> Pictures:
    values = {"every": 1, "records": 2} | changes
    settings = PictureSettings.model_validate(values)
    return Pictures(settings, corpus, PREPROCESSOR, MODEL, seed=3, accelerator=accelerator)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Prepared, Mask, str]]:
    """Record what is drawn."""
    found: list[tuple[Prepared, Mask, str]] = []

    def spy(*arguments: Any, **options: Any) -> Any:
        found.append((arguments[2], arguments[3], options["title"]))
        assert not arguments[0].training
        return reconstruction_figure(*arguments, **options)

    monkeypatch.setattr(pictures_module, "reconstruction_figure", spy)
    return found


def test_each_recording_has_a_folder_with_a_picture_of_each_step(
    corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, pictures = LAMAE(MODEL), make_pictures(corpus, accelerator)
    for step in (4, 8):
        paths = pictures.write(model, tmp_path, step=step)
        assert [str(path.relative_to(tmp_path)) for path in paths] == [
            f"pictures/recording-{number}/step-{step:06d}.png" for number in (1, 2)
        ]
        for path in paths:
            pixels = imread(path)
            assert pixels.shape[0] > 400 and pixels.std() > 0.01
    names = {path.name for path in tmp_path.rglob("*.*")}
    assert names == {"step-000004.png", "step-000008.png"}


def test_recordings_and_masks_are_the_same_each_time_and_those_of_the_validation_split(
    corpus: Corpus,
    accelerator: Accelerator,
    tmp_path: Path,
    given: list[tuple[Prepared, Mask, str]],
) -> None:
    model = LAMAE(MODEL)
    first = make_pictures(corpus, accelerator)
    first.write(model, tmp_path, step=1)
    first.write(model, tmp_path, step=2)
    make_pictures(corpus, accelerator).write(model, tmp_path, step=3)
    for record in (0, 1):
        one, *others = given[record::2]
        for other in others:
            assert np.array_equal(other[0].signal, one[0].signal)
            assert torch.equal(other[1].visible, one[1].visible)
    keys = {f"Recording {key} after 1 steps" for key in corpus.keys[corpus.rows("val")]}
    assert {title for _, _, title in given[:2]} < keys
    assert given[0][2] != given[1][2]


@pytest.mark.usefixtures("given")
def test_a_picture_draws_no_random_number_and_keeps_the_mode(
    corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    model = LAMAE(MODEL)
    before = torch.get_rng_state()
    make_pictures(corpus, accelerator).write(model, tmp_path, step=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_recordings_that_cannot_be_used_are_passed_over(
    corpus: Corpus,
    accelerator: Accelerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[tuple[Prepared, Mask, str]],
) -> None:
    record, refused = Corpus.record, list[int]()

    def read(self: Corpus, row: int) -> Record:
        if len(refused) < 3:
            refused.append(row)
            raise InputError("sample", value="cut", expected="whole", remedy="Copy it again.")
        return record(self, row)

    monkeypatch.setattr(Corpus, "record", read)
    make_pictures(corpus, accelerator).write(LAMAE(MODEL), tmp_path, step=1)
    assert len(given) == 2
    assert not {str(corpus.keys[row]) for row in refused} & {
        title.split()[1] for *_, title in given
    }


def test_a_split_without_a_usable_recording_is_refused(
    corpus: Corpus, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Corpus, row: int) -> Record:
        raise InputError("sample", value="cut", expected="whole", remedy="Copy it again.")

    monkeypatch.setattr(Corpus, "record", read)
    with pytest.raises(InputError, match="sample: cut"):
        make_pictures(corpus, accelerator)

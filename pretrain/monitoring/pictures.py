"""Reconstructions on ECG paper while pretraining runs: the same recordings and masks each time."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator

from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.errors import InputError
from lamae.figures.plots import save_png
from lamae.figures.reconstruction_picture import reconstruction_figure
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask, draw_kind, draw_mask
from lamae.model.recorded import recorded_parts
from lamae.model.settings import AutoencoderSettings
from lamae.storage.corpus import Corpus
from pretrain.settings import PictureSettings

FOLDER = "pictures"
"""Folder of a run's pictures: in it a folder for each recording, with a file for each step."""

_MOST_TRIED = 100


class _Drawn(NamedTuple):
    """A recording and its mask."""

    key: str
    prepared: Prepared
    mask: Mask


class Pictures:
    """Fixed recordings of the validation split, each with a fixed mask."""

    def __init__(
        self,
        settings: PictureSettings,
        corpus: Corpus,
        preprocessor: Preprocessor,
        model: AutoencoderSettings,
        *,
        seed: int,
        accelerator: Accelerator,
    ) -> None:
        """Draw recordings and masks from the seed; raises InputError where none is usable."""
        self._preprocessor = preprocessor
        self._accelerator = accelerator
        generator = torch.Generator().manual_seed(seed)
        rows = np.random.default_rng(seed).permutation(corpus.rows("val"))
        usable = _usable(corpus, preprocessor, rows, most=settings.records)
        self._drawn = [
            _Drawn(key, prepared, _draw(preprocessor, model, prepared, generator))
            for key, prepared in usable
        ]

    def write(self, model: LAMAE, run_dir: Path, *, step: int) -> list[Path]:
        """Write `pictures/recording-1/step-000100.png` and so on; return the paths written.

        All processes must call it, as a model that is spread over them computes on all; the main
        one writes. The model stays in its mode.
        """
        was_training = model.training
        model.eval()
        written = []
        try:
            for number, (key, prepared, mask) in enumerate(self._drawn, start=1):
                with self._accelerator.autocast():
                    figure = reconstruction_figure(
                        model,
                        self._preprocessor,
                        prepared,
                        mask,
                        title=f"Recording {key} after {step} steps",
                        device=self._accelerator.device,
                    )
                path = run_dir / FOLDER / f"recording-{number}" / f"step-{step:06d}.png"
                if self._accelerator.is_main_process:
                    save_png(figure, path, dots_per_inch=100)
                    written.append(path)
        finally:
            model.train(was_training)
        return written


def _usable(
    corpus: Corpus, preprocessor: Preprocessor, rows: np.ndarray, *, most: int
) -> list[tuple[str, Prepared]]:
    """Return the first `most` recordings that can be read and prepared, with their keys."""
    found: list[tuple[str, Prepared]] = []
    for row in map(int, rows[: most + _MOST_TRIED]):
        try:
            found.append((str(corpus.keys[row]), preprocessor(corpus.record(row))))
        except InputError as error:
            problem = error
        if len(found) == most:
            return found
    if not found:
        raise problem
    return found


def _draw(
    preprocessor: Preprocessor,
    model: AutoencoderSettings,
    prepared: Prepared,
    generator: torch.Generator,
) -> Mask:
    size = model.encoder.patch_size
    patches = preprocessor.samples // size
    present, samples = torch.from_numpy(prepared.present)[None], torch.tensor([prepared.samples])
    return draw_mask(
        draw_kind(model.masking, generator),
        batch=1,
        leads=len(preprocessor.leads),
        patches=patches,
        mask_ratio=model.mask_ratio,
        generator=generator,
        recorded=recorded_parts(present, samples, patches=patches, patch_size=size),
    )

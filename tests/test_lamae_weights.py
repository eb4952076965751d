"""The weights that come with the library load, and embed as they did when they were measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import lamae.weights
from finetune.releasing.check import check
from finetune.releasing.settings import CheckSettings
from lamae import load_encoder, record_from
from lamae.model.checkpoint import LoadedEncoder
from lamae.model.encoder import Latents
from lamae.release.description import read_description
from lamae.runs.checksums import CHECKSUMS

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "results" / "figures.json"
WEIGHTS = Path(lamae.weights.__file__).parent
SHIPPED = sorted(path for path in WEIGHTS.iterdir() if (path / CHECKSUMS).exists())
CPU = WEIGHTS / "lamae-cpu.ptbxl"


def chirps(leads: int, samples: int) -> np.ndarray:
    """Return a made-up signal in mV, another in each lead: (leads, samples)."""
    time, lead = np.arange(samples) / 100, np.arange(1, leads + 1)[:, None]
    return np.sin(2 * np.pi * (lead + time / lead) * time) * np.exp(-((time % 0.8) ** 2) * lead)


@pytest.fixture(scope="module")
def encoder() -> LoadedEncoder:
    return load_encoder(CPU)


def latents_of(encoder: LoadedEncoder, signal: np.ndarray) -> Latents:
    model, preprocess = encoder
    prepared = preprocess(record_from(signal, sampling_rate=100, leads=preprocess.leads))
    with torch.no_grad():
        return model(torch.from_numpy(prepared.signal)[None], preprocess.leads)


def test_something_is_shipped_and_small() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert SHIPPED and sum(path.stat().st_size for path in files) <= 16 * 2**20


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_each_folder_names_the_licence_of_its_data_and_holds_no_recording(folder: Path) -> None:
    assert "PTB-XL 1.0.3" in (folder / "NOTICE").read_text()
    assert "CC-BY-4.0" in (folder / "NOTICE").read_text()
    assert check(CheckSettings(release=str(folder)))


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("lamae-cpu.ptbxl", "superclass_probe"),
        ("lamae-cpu.ptbxl-superclass", "superclass_probe"),
        ("lamae-cpu.ptbxl-statements", "statements_probe"),
    ],
)
def test_the_results_of_a_shipped_model_are_those_of_the_documents(name: str, run: str) -> None:
    description = read_description(WEIGHTS / name)
    assert description is not None
    measured = json.loads(FIGURES.read_text())[run]
    found = next(one for one in description.results if one.metric == "auroc")
    ends = [found.value.estimate, found.value.low, found.value.high]
    assert [round(value, 5) for value in ends] == measured["measures"]["auroc_macro"]
    assert (found.recordings, found.patients) == (measured["recordings"], measured["patients"])


def test_the_encoder_embeds_as_when_it_was_measured(encoder: LoadedEncoder) -> None:
    found = latents_of(encoder, chirps(8, 1000)).embedding[0, :4]
    torch.testing.assert_close(found, torch.tensor(EXPECTED), atol=5e-3, rtol=1e-3)  # 16 bits


def test_the_voltage_of_a_recording_shows_beside_its_embedding(encoder: LoadedEncoder) -> None:
    once, twice = (latents_of(encoder, scale * chirps(8, 1000)) for scale in (1, 2))
    assert once.amplitudes is not None and twice.amplitudes is not None
    deviations = twice.amplitudes[0, :, 0] - once.amplitudes[0, :, 0]
    torch.testing.assert_close(deviations, torch.full((8,), np.log(2)), atol=1e-3, rtol=0)
    torch.testing.assert_close(twice.embedding, once.embedding, atol=1e-3, rtol=1e-3)


EXPECTED = [-3.1699, -0.7262, -0.2306, 0.0199]
"""Of the encoder in the run that was measured, by the code of that day."""

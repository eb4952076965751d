"""An exported classifier says by its name what the classifier says, without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lamae
from finetune.classifiers.classifier import Architecture, build_classifier
from finetune.classifiers.export_onnx import to_onnx
from finetune.classifiers.folder import load_classifier, save_classifier
from finetune.networks.settings import CnnAttentionBilstmSettings, LasanSettings
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError, RecordError
from lamae.model.settings import EncoderSettings
from lamae.statistics.probabilities import ClassCalibration

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_TORCH = """
import importlib.abc, json, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        absent = "torch accelerate einops timm pyarrow h5py pandas matplotlib".split()
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import lamae
model = lamae.from_pretrained(sys.argv[1])
answer = model.answer(lamae.read_ecg(sys.argv[2], sampling_rate=250))
print(json.dumps([answer.probabilities.tolist(), answer.embedding.tolist(), answer.cautions]))
"""


def save_models(folder: Path) -> tuple[Path, Path]:
    """Save a small calibrated classifier as a folder and as a file."""
    torch.manual_seed(1)
    architecture = Architecture(
        mode="attention_probe",
        classes=("A", "B"),
        multi_label=True,
        preprocess=Preprocessor(leads=("I", "II", "V1", "V5"), sampling_rate=100, duration_s=4),
        pooling="attention",
        encoder=EncoderSettings(patch_size=50, width=16, depth=1, heads=2, latent_depth=1),
        lasan=LasanSettings(),
        cnn_attention_bilstm=CnnAttentionBilstmSettings(),
        calibration=(ClassCalibration(slope=2, intercept=0.3), ClassCalibration()),
    )
    about = {"settings": {"min_leads": 2}}
    classifier = build_classifier(architecture)
    save_classifier(folder / "classifier", classifier, thresholds={"A": 0.4}, about=about)
    (folder / "model.onnx").write_bytes(to_onnx(load_classifier(folder / "classifier")))
    return folder / "classifier", folder / "model.onnx"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("seconds", [2.5, 4.0, 11.0])
@pytest.mark.parametrize("leads", [("I", "II", "V1", "V5"), ("II", "V5")])
def test_the_file_answers_what_the_folder_answers(
    models: tuple[Path, Path], seconds: float, leads: tuple[str, ...]
) -> None:
    beats = np.random.default_rng(3).normal(0, 0.4, (len(leads), round(seconds * 250)))
    record = lamae.record_from(beats, sampling_rate=250, leads=leads)
    by_torch, by_onnx = (lamae.from_pretrained(path).answer(record) for path in models)
    for name in ("probabilities", "embedding", "lead_weights"):
        np.testing.assert_allclose(getattr(by_onnx, name), getattr(by_torch, name), atol=1e-5)
    assert by_onnx.cautions == by_torch.cautions
    assert by_onnx.called is not None
    assert by_torch.called is not None
    assert by_onnx.called.tolist() == by_torch.called.tolist()


def test_it_says_so_where_leads_are_too_few_or_the_device_is_another(
    models: tuple[Path, Path],
) -> None:
    record = lamae.record_from(np.ones((1, 400)).cumsum(1), sampling_rate=100, leads=["II"])
    model = lamae.from_pretrained(models[1])
    with pytest.raises(RecordError, match="expected at least 2 of the leads"):
        model.answer(record)
    assert model.answer(record, min_leads=1).cautions[0] == "leads missing: I, V1, V5"
    with pytest.raises(InputError, match="device: cuda; expected cpu"):
        lamae.from_pretrained(models[1], device="cuda")


def test_it_needs_nothing_of_what_trains(models: tuple[Path, Path], tmp_path: Path) -> None:
    beats = np.random.default_rng(3).normal(0, 0.4, (3, 500))
    path = tmp_path / "beats.csv"
    rows = "\n".join(",".join(f"{value:.6f}" for value in row) for row in beats.T)
    path.write_text(f"I,II,V1\n{rows}\n")
    command = [sys.executable, "-c", WITHOUT_TORCH, str(models[1]), str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    probabilities, embedding, cautions = json.loads(done.stdout)
    answer = lamae.from_pretrained(models[0]).answer(lamae.read_ecg(path, sampling_rate=250))
    assert answer.embedding is not None
    np.testing.assert_allclose(probabilities, answer.probabilities, atol=1e-5)
    np.testing.assert_allclose(embedding, answer.embedding, atol=1e-5)
    assert "leads missing: V5" in cautions

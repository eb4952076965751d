"""Encoders of others in files: TorchScript and ONNX, from the description to the prediction."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator
from torch import nn

from finetune.classifiers.folder import load_classifier
from finetune.classifiers.predictions import PREDICTIONS
from finetune.encoders.opening import open_encoder
from finetune.prediction.predict import predict
from finetune.prediction.settings import PredictSettings
from finetune.protocols.published import Division, Rules
from finetune.protocols.scores import ProtocolScorer
from finetune.protocols.settings import ProtocolsSettings
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from finetune.training.embeddings import EmbeddingCache
from lamae.ecg.leads import LEADS
from lamae.model.checkpoint import load_autoencoder
from lamae.model.encoder import Encoder
from lamae.model.settings import Pooling
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus

MakeProbe = Callable[..., FinetuneSettings]
READS = {"leads": 12, "sampling_rate": 50, "duration_s": 5, "band_hz": None}
"""As the tiny run of the tests, which has 5 patches of 50 samples for each lead, and width 16."""
TINY_LASAN = {"channels": [4, 8], "kernel_size": 5, "depth": 1, "heads": 2, "hidden": 8}


class Exported(nn.Module):
    """LAMAE's encoder, with an array in and an array out."""

    def __init__(self, encoder: Encoder, *, layout: str) -> None:
        super().__init__()
        self.encoder, self.layout = encoder, layout

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        latents = self.encoder(signal, LEADS)
        return latents.embedding if self.layout == "embedding" else self._patches(latents.tokens)

    @staticmethod
    def _patches(tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, :, 1:].flatten(1, 2)


@pytest.fixture(scope="module")
def files(pretrained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the encoder of the tiny run: its tokens in both kinds, its embedding in one."""
    folder = tmp_path_factory.mktemp("exported")
    encoder = load_autoencoder(pretrained_run).model.encoder
    example = torch.zeros(2, 12, 250)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch, torch.no_grad():
        warnings.simplefilter("ignore")  # jit.trace is deprecated, and both warn of what they trace
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # traced sizes are no ints
        for layout in ("tokens", "embedding"):
            module = Exported(encoder, layout=layout).eval()
            torch.jit.trace(module, example).save(str(folder / f"{layout}.pt"))
        torch.onnx.export(
            Exported(encoder, layout="tokens").eval(),
            (example,),
            folder / "tokens.onnx",
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("b")},),
            external_data=False,
            verbose=False,
        )
    return folder


def describe(path: Path, it: Path | str, **changes: Any) -> Path:
    kind = "onnx" if str(it).endswith(".onnx") else "torchscript"
    values: dict[str, Any] = {"kind": kind, "file": str(it), "width": 16, "layout": "tokens"}
    values["preprocess"] = {**READS, "normalisation": "record"}
    path.write_text(yaml.safe_dump(values | changes))
    return path


def embed(
    path: Path, corpus: Corpus, accelerator: Accelerator, cache: Path, *, pooling: Pooling = "mean"
) -> np.ndarray:
    opened = open_encoder(path)
    embeddings = EmbeddingCache(
        corpus,
        opened.preprocessor,
        pooling=pooling,
        batch_size=5,
        accelerator=accelerator,
        folder=cache,
    )
    return embeddings.embed(opened.encoder, corpus.rows("val")[:7], name="some").features


@pytest.mark.parametrize("file", ["tokens.pt", "tokens.onnx"])
def test_an_exported_encoder_of_lamae_gives_the_embeddings_that_it_gives_itself(
    file: str,
    files: Path,
    pretrained_run: Path,
    corpus: Corpus,
    accelerator: Accelerator,
    tmp_path: Path,
) -> None:
    own = embed(pretrained_run, corpus, accelerator, tmp_path)
    found = embed(describe(tmp_path / "e.yaml", files / file), corpus, accelerator, tmp_path)
    np.testing.assert_allclose(found, own, atol=1e-5)


@pytest.mark.parametrize("pooling", ["attention", "mean", "lead_mean"])
def test_an_embedding_is_left_as_it_is_by_every_pooling(
    pooling: Pooling,
    files: Path,
    pretrained_run: Path,
    corpus: Corpus,
    accelerator: Accelerator,
    tmp_path: Path,
) -> None:
    own = embed(pretrained_run, corpus, accelerator, tmp_path, pooling="attention")
    path = describe(tmp_path / "e.yaml", files / "embedding.pt", layout="embedding")
    found = embed(path, corpus, accelerator, tmp_path, pooling=pooling)
    np.testing.assert_allclose(found, own, atol=1e-5)


def test_a_file_is_scored_under_a_protocol_as_the_encoder_that_it_holds(
    files: Path,
    pretrained_run: Path,
    simulated_shards: Path,
    accelerator: Accelerator,
    tmp_path: Path,
) -> None:
    rules = Rules(label_set="class", one_class=True, division=Division(kind="cross", number=3))
    encoders = {"own": pretrained_run, "file": describe(tmp_path / "e.yaml", files / "tokens.pt")}
    quick = {"data": simulated_shards, "l2_grid": (0.01,), "resamples": 50, "pooling": "mean"}
    known = {"allow_overlap": ("pretraining_patients", "pretraining_recordings")}
    found = {}
    for name, encoder in encoders.items():
        values = {"encoder": encoder, "run_dir": tmp_path / name, **quick, **known}
        scorer = ProtocolScorer(ProtocolsSettings.model_validate(values), accelerator)
        found[name] = scorer.score(rules)
    assert found["file"].auroc == pytest.approx(found["own"].auroc, abs=1e-3)
    assert "not trained by LAMAE" in found["file"].unaudited
    assert not found["own"].unaudited


def test_a_probe_of_a_file_is_reported_saved_and_used_without_the_file(
    files: Path, make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path
) -> None:
    shutil.copy(files / "tokens.onnx", tmp_path / "it.onnx")
    path = describe(tmp_path / "e.yaml", "it.onnx")
    settings = make_probe(encoder=path)
    finetune(settings)
    assert settings.run_dir is not None
    summary = json.loads((settings.run_dir / SUMMARY).read_text())
    assert "auroc_macro_random" not in summary
    assert "not trained by LAMAE" in summary["audit"]["pretraining"]["not_audited"]
    page = (settings.run_dir / "report.html").read_text()
    assert "Not compared with random weights" in page
    assert "Leakage from pretraining was not audited" in page
    (tmp_path / "it.onnx").unlink()
    moved = shutil.move(settings.run_dir / "classifier", tmp_path / "moved")
    output = tmp_path / "again.csv"
    asked = {"model": moved, "source": settings.data, "output": output, "splits": ("val",)}
    predict(PredictSettings.model_validate(asked | {"cpu_threads": 1, "layout": "wide"}))
    before, after = (
        np.genfromtxt(file, delimiter=",", skip_header=1, usecols=columns)
        for file, columns in ((settings.run_dir / PREDICTIONS, (1, 2, 3)), (output, (2, 3, 4)))
    )
    np.testing.assert_allclose(after, before, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "mode", "learns"),
    [
        ("tokens.pt", "full", True),
        ("tokens.pt", "attention_probe", False),
        ("tokens.onnx", "hybrid", False),
    ],
)
def test_a_file_is_trained_where_it_can_be_and_the_mode_asks(
    file: str,
    mode: str,
    learns: bool,
    files: Path,
    make_probe: MakeProbe,
    accelerator: Accelerator,
    tmp_path: Path,
) -> None:
    training = {"epochs": 1, "batch_size": 16, "warmup_epochs": 0.0}
    path = describe(tmp_path / "e.yaml", files / file)
    values = {"encoder": path, "mode": mode, "training": training, "lasan": TINY_LASAN}
    settings = make_probe(**values, baselines=(), pooling="mean")
    finetune(settings)
    assert settings.run_dir is not None
    before = open_encoder(path).encoder.state_dict()
    after = load_classifier(settings.run_dir).classifier.model.get_submodule("encoder").state_dict()
    assert before.keys() == after.keys()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert bool(changed) == learns

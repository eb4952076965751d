"""Descriptions of encoders of others: what is read as described, and what is refused."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from accelerate import Accelerator
from onnx import TensorProto, helper, numpy_helper

from finetune.encoders.opening import open_encoder
from finetune.experiment.candidates import make_candidates
from finetune.settings import FinetuneSettings
from finetune.training.embeddings import EmbeddingCache
from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.storage.corpus import Corpus

MakeProbe = Callable[..., FinetuneSettings]


def describe(folder: Path, **changes: Any) -> Path:
    """Write the description of g.onnx, as `write_graph` makes it, with any changes."""
    reads = {"leads": 12, "sampling_rate": 50, "duration_s": 5, "band_hz": None}
    values: dict[str, Any] = {"kind": "onnx", "file": "g.onnx", "layout": "embedding", "width": 16}
    values["preprocess"] = {**reads, "normalisation": "record"}
    path = folder / "e.yaml"
    path.write_text(yaml.safe_dump(values | changes))
    return path


def write_graph(
    path: Path, weight: np.ndarray, *, batch: str | int = "b", over: int = 2, samples: int = 250
) -> Path:
    """Write ONNX that is the mean over samples, axis `over`, times `weight` (leads, width)."""
    shape = [batch, *([12, samples] if over == 2 else [samples, 12])]
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["signal", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "weight"], ["embedding"]),
        ],
        "mean",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, weight.shape[1]])],
        [
            numpy_helper.from_array(weight.astype(np.float32), "weight"),
            numpy_helper.from_array(np.array([over]), "axes"),
        ],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def embed(path: Path, corpus: Corpus, accelerator: Accelerator, cache: Path) -> np.ndarray:
    encoder, preprocessor, _ = open_encoder(path)
    places: dict[str, Any] = {"accelerator": accelerator, "folder": cache}
    embeddings = EmbeddingCache(corpus, preprocessor, pooling="mean", batch_size=5, **places)
    return embeddings.embed(encoder, corpus.rows("val")[:7], name="some").features


def test_the_array_goes_in_as_described(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weight, signal = generator.normal(size=(12, 4)), torch.randn(3, 12, 250)
    for over, order in ((2, "b l s"), (1, "b s l")):
        write_graph(tmp_path / "g.onnx", weight, over=over)
        path = describe(tmp_path, signal=order, width=4, heads=2)
        found = open_encoder(path).encoder(signal, LEADS).embedding
        oracle = signal.numpy().astype(np.float64).mean(axis=2) @ weight
        np.testing.assert_allclose(found.numpy(), oracle, atol=1e-5)


def test_a_longer_recording_is_the_mean_of_windows_that_cover_it(
    corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    """Recordings of 5 s at 50 Hz, in windows of 2 s that begin at 0, 1.5 and 3 s."""
    weight = np.random.default_rng(0).normal(size=(12, 16))
    write_graph(tmp_path / "g.onnx", weight, samples=100)
    reads = {"leads": 12, "sampling_rate": 50, "duration_s": 2, "band_hz": None}
    path = describe(tmp_path, preprocess={**reads, "normalisation": "lead"}, rescale="min_max")
    found = embed(path, corpus, accelerator, tmp_path)
    prepare = open_encoder(path).preprocessor
    for row, embedding in zip(corpus.rows("val"), found, strict=False):
        record = corpus.sample(int(row)).record
        windows = np.array([prepare(record, start).signal for start in (0, 75, 150)])
        lowest, highest = windows.min(axis=2), windows.max(axis=2)
        mean = 2 * (windows.mean(axis=2) - lowest) / (highest - lowest) - 1
        np.testing.assert_allclose(embedding, mean.mean(axis=0) @ weight, atol=1e-4)


def test_embeddings_of_one_file_are_never_taken_for_those_of_another(
    corpus: Corpus, accelerator: Accelerator, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    path = describe(tmp_path, width=4, heads=2)
    found = []
    for _ in range(2):
        write_graph(tmp_path / "g.onnx", generator.normal(size=(12, 4)))
        found.append(embed(path, corpus, accelerator, tmp_path / "cache"))
    assert not np.allclose(found[0], found[1])
    (tmp_path / "copy").mkdir()
    for name in ("e.yaml", "g.onnx"):
        shutil.copy(tmp_path / name, tmp_path / "copy")
    again = embed(tmp_path / "copy" / "e.yaml", corpus, accelerator, tmp_path / "cache")
    np.testing.assert_array_equal(again, found[1])
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"width": 8}, r"output \(2, 16\) for 2 recordings.*\(2, 8\)"),
        ({"layout": "tokens"}, r"tokens \(2, tokens, 16\)"),
        ({"signal": "b (l s)"}, "refuses 2 recordings.*12 leads and 250 samples"),
        ({"sha256": "0" * 64}, "sha256 of g.onnx.*expected 0000.*Copy the file again"),
        ({"file": "other.onnx"}, "no .*other.onnx.*Correct file"),
        ({"kind": "pickle"}, "kind.*'torchscript', 'onnx' or 'hubert'"),
        ({"kind": "torchscript"}, "expected a file of torch.jit.save"),
        ({"preprocess": {"leads": 12}}, "preprocess.sampling_rate, .*state what"),
        ({"heads": 5}, "heads 5 must divide width 16"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    write_graph(tmp_path / "g.onnx", np.ones((12, 16)))
    path = describe(tmp_path, **changes)
    with pytest.raises(InputError, match=told):
        open_encoder(path)


def test_an_encoder_for_one_recording_at_a_time_is_refused(tmp_path: Path) -> None:
    write_graph(tmp_path / "g.onnx", np.ones((12, 16)), batch=1)
    path = describe(tmp_path)
    with pytest.raises(InputError, match=r"refuses 2 recordings.*first axis of any length"):
        open_encoder(path)


def test_a_graph_with_weights_in_another_file_is_refused(tmp_path: Path) -> None:
    write_graph(tmp_path / "g.onnx", np.ones((12, 16)))
    model = onnx.load(tmp_path / "g.onnx")
    onnx.save(model, tmp_path / "g.onnx", save_as_external_data=True, size_threshold=0)
    path = describe(tmp_path)
    with pytest.raises(InputError, match=r"weights in another file.*external_data=False"):
        open_encoder(path)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("full", "mode full of .*kind onnx without weights.*Use mode probe, attention_probe or"),
        ("probe_then_full", "weights that can be trained"),
        ("attention_probe", "layout: embedding; expected layout: tokens"),
    ],
)
def test_a_mode_that_a_file_cannot_serve_is_refused(
    mode: str, told: str, make_probe: MakeProbe, tmp_path: Path
) -> None:
    write_graph(tmp_path / "g.onnx", np.ones((12, 16)))
    path = describe(tmp_path)
    with pytest.raises(InputError, match=told):
        make_candidates(make_probe(encoder=path, mode=mode), ("A", "B"))


def test_a_file_without_description_is_refused_with_what_to_write(tmp_path: Path) -> None:
    file = write_graph(tmp_path / "g.onnx", np.ones((12, 16)))
    with pytest.raises(InputError, match=r"ends in \.onnx.*file: g\.onnx"):
        open_encoder(file)


class Bomb:
    """A pickled object that leaves a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


def test_a_file_of_pickled_objects_is_refused_and_not_run(tmp_path: Path) -> None:
    fallen = tmp_path / "fallen"
    torch.save(Bomb(fallen), tmp_path / "saved.pt")
    (tmp_path / "pickled.pt").write_bytes(pickle.dumps(Bomb(fallen)))
    for file in ("saved.pt", "pickled.pt"):
        with pytest.raises(InputError, match=r"file of torch\.jit\.save"):
            open_encoder(describe(tmp_path, kind="torchscript", file=file))
    assert not fallen.exists()
    pickle.loads((tmp_path / "pickled.pt").read_bytes())
    assert fallen.exists()

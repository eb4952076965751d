"""Classifiers of every mode as ONNX files, in float32 or with weights and activations of 8 bits.

Quantisation: convolutions and linear layers with the ranges of activations measured on recordings
(weights per channel), recurrent layers with ranges found as they run, which is all that
onnxruntime has for them.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from finetune.classifiers.folder import LoadedClassifier, load_classifier
from finetune.classifiers.settings import ExportSettings
from finetune.encoders.description import OtherEncoderSettings
from finetune.encoders.other_encoder import AnyEncoderSettings
from finetune.overwriting import check_output
from finetune.processes import start_single
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.edge.onnx_classifier import LOGITS, METADATA, SIGNAL, Description
from lamae.edge.onnx_session import import_extra
from lamae.errors import InputError
from lamae.files import open_whole
from lamae.storage.corpus import Corpus

STATIC, DYNAMIC = ["Conv", "Gemm", "MatMul", "MaxPool"], ["LSTM"]
"""ONNX operators whose activations' ranges are measured once, and those that measure their own."""


def export(settings: ExportSettings) -> list[str]:
    """Write the file, and return what was done in one sentence."""
    start_single(settings)
    check_output(settings.output, overwrite=settings.overwrite, holds="another export")
    loaded = load_classifier(settings.classifier)
    windows = None
    if settings.int8 and settings.data is not None:
        windows = calibration_windows(
            Corpus(settings.data),
            loaded.classifier.architecture.preprocess,
            split=settings.split,
            recordings=settings.recordings,
            generator=np.random.default_rng(settings.seed),
        )
    content = to_onnx(loaded, windows)
    with open_whole(settings.output) as file:
        file.write(content)
    kind = "8-bit" if settings.int8 else "float32"
    return [f"{kind} classifier of {len(content) / 1e6:.2f} MB: {settings.output}"]


def to_onnx(
    loaded: LoadedClassifier, windows: Float[np.ndarray, "w l samples"] | None = None
) -> bytes:
    """Return a classifier as ONNX; with `windows` to measure activations on, in 8 bits.

    It reads one window at a time, all of it recorded, with all leads. Raises InputError for a
    classifier on an encoder that is a file.
    """
    onnx = import_extra("onnx")
    architecture = loaded.classifier.architecture
    _check_encoder(architecture.encoder)
    description = Description(
        preprocess=architecture.preprocess,
        classes=architecture.classes,
        multi_label=architecture.multi_label,
        thresholds=loaded.thresholds,
        int8=windows is not None,
    )
    model = _network(loaded.classifier.model, architecture.preprocess)
    if windows is not None:
        model = _quantise(model, windows)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA, json.dumps(description.model_dump(mode="json"))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def calibration_windows(
    corpus: Corpus,
    preprocess: Preprocessor,
    *,
    split: str,
    recordings: int,
    generator: np.random.Generator,
) -> Float[np.ndarray, "w l samples"]:
    """Return one whole window of each of some recordings that have all leads.

    Raises InputError if there is none.
    """
    rows = corpus.rows(split)
    drawn = np.sort(generator.permutation(rows)[:recordings])
    batch = Split(corpus, drawn, preprocess).usable(np.arange(len(drawn)), None).batch
    if batch is not None:
        whole = torch.ones(len(batch.signal), dtype=torch.bool)
        if batch.present is not None:
            whole &= batch.present.all(dim=1)
        if batch.samples is not None:
            whole &= batch.samples == preprocess.samples
        if whole.any():
            return batch.signal[whole].numpy()
    raise InputError(
        f"split {split} of {corpus.folder}",
        value=f"none of {len(drawn)} recordings fills a window with all leads",
        expected=f"recordings of {preprocess.duration_s:g} s with {', '.join(preprocess.leads)}",
        remedy="Give data= the shards that the classifier was trained on.",
    )


def _check_encoder(encoder: AnyEncoderSettings | None) -> None:
    if isinstance(encoder, OtherEncoderSettings) and encoder.kind != "hubert":
        raise InputError(
            "classifier",
            value=f"on an encoder of kind {encoder.kind}",
            expected="a network of torch, whose operations can be traced",
            remedy="Export a classifier on an encoder of LAMAE or HuBERT, or without one.",
        )


class _Logits(nn.Module):
    """A classifier reduced to what an ONNX file has: a signal in, logits out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, signal: Float[Tensor, "b l samples"]) -> Float[Tensor, "b classes"]:
        logits: Tensor = self.model(signal).logits
        return logits


def _network(model: nn.Module, preprocess: Preprocessor) -> Any:
    """Return an onnx.ModelProto of the network, constants folded."""
    onnx, runtime = import_extra("onnx"), import_extra("onnxruntime")
    import_extra("onnxscript")
    example = torch.zeros(1, len(preprocess.leads), preprocess.samples)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # the exporter warns of its own tracing, e.g. that an LSTM keeps a list of its weights
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Logits(model).eval(),
            (example,),
            input_names=[SIGNAL],
            output_names=[LOGITS],
            dynamo=True,
            verbose=False,
        )
        assert program is not None, "the dynamo exporter returns a program"
        traced, folded = Path(folder) / "traced.onnx", Path(folder) / "folded.onnx"
        program.save(traced)
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        runtime.InferenceSession(traced, options, providers=["CPUExecutionProvider"])
        return onnx.load(folded)


def _quantise(model: Any, windows: Float[np.ndarray, "w l samples"]) -> Any:
    """Return the network in 8 bits."""
    onnx, tools = import_extra("onnx"), import_extra("onnxruntime.quantization")

    class Windows(tools.CalibrationDataReader):  # type: ignore[name-defined, misc]
        """Windows to measure activations on, one at a time."""

        def __init__(self) -> None:
            self._left = iter(windows)

        def get_next(self) -> dict[str, np.ndarray] | None:
            window = next(self._left, None)
            return None if window is None else {SIGNAL: window[None]}

    with tempfile.TemporaryDirectory() as folder, _without_advice():
        static, both = Path(folder) / "static.onnx", Path(folder) / "both.onnx"
        tools.quantize_static(
            model,
            static,
            Windows(),
            op_types_to_quantize=STATIC,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,  # twice as fast as signed ones on x86
            weight_type=tools.QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        tools.quantize_dynamic(
            static, both, op_types_to_quantize=DYNAMIC, weight_type=tools.QuantType.QInt8
        )
        return onnx.load(both)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep onnxruntime from advising on the root logger what has been done already."""

    def is_other(record: logging.LogRecord) -> bool:
        return "quantiz" not in record.getMessage()

    logging.getLogger().addFilter(is_other)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(is_other)

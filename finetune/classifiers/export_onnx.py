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
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from finetune.classifiers.classifier import Classifier
from finetune.classifiers.folder import LoadedClassifier, load_classifier
from finetune.classifiers.settings import ExportSettings
from finetune.encoders.description import OtherEncoderSettings
from finetune.encoders.other_encoder import AnyEncoderSettings, present_rows
from finetune.networks.heads import EncoderClassifier
from finetune.overwriting import check_output
from finetune.processes import start_single
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.edge.onnx_classifier import METADATA, Description
from lamae.edge.onnx_session import EMBEDDING, LEAD_WEIGHTS, LOGITS, PRESENT, SAMPLES, SIGNAL
from lamae.errors import InputError
from lamae.files import open_whole
from lamae.model.pooling import pool
from lamae.model.recorded import Recorded, valid_patches
from lamae.model.settings import EncoderSettings
from lamae.packages import import_package
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
            Corpus(settings.data, **settings.caching),
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

    It reads one window at a time, beside which it is told which leads are there and how many
    samples were recorded. Raises InputError for a classifier on an encoder that is a file.
    """
    onnx = import_package("onnx")
    architecture = loaded.classifier.architecture
    _check_encoder(architecture.encoder)
    description = Description(
        preprocess=architecture.preprocess,
        classes=architecture.classes,
        multi_label=architecture.multi_label,
        thresholds=loaded.thresholds,
        calibration=architecture.calibration,
        int8=windows is not None,
        partial=True,
        min_leads=loaded.about.get("settings", {}).get("min_leads"),
    )
    model = _network(loaded.classifier)
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
        f"split {split} of {corpus.location}",
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


class _Graph(nn.Module):
    """A classifier as an ONNX file has it: a window and what of it was recorded in, tensors out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.model = classifier.model
        self.architecture = classifier.architecture

    def forward(
        self,
        signal: Float[Tensor, "b l samples"],
        present: Bool[Tensor, "b l"],
        samples: Int[Tensor, " b"],
    ) -> tuple[Tensor, ...]:
        return tuple(self.named(signal, present, samples).values())

    def named(self, signal: Tensor, present: Tensor, samples: Tensor) -> dict[str, Tensor]:
        """Return what the model has of logits, embedding and weights of leads, by name."""
        recorded = self._recorded(signal, present, samples)
        embedding = None
        if isinstance(self.model, EncoderClassifier):
            latents = self.model.encode(signal, recorded)
            found = self.model.classify(latents, recorded)
            rows = present_rows(self.model.encoder, present)
            embedding = pool(latents, self.architecture.pooling, rows)
        else:
            found = self.model(signal, recorded)
        outputs = {LOGITS: found.logits, EMBEDDING: embedding, LEAD_WEIGHTS: found.lead_weights}
        return {name: value for name, value in outputs.items() if value is not None}

    def _recorded(self, signal: Tensor, present: Tensor, samples: Tensor) -> Recorded:
        encoder = self.architecture.encoder
        if not isinstance(encoder, EncoderSettings):
            return Recorded(present, samples=samples)
        patches, size = signal.shape[-1] // encoder.patch_size, encoder.patch_size
        valid = valid_patches(samples, patches=patches, patch_size=size)
        return Recorded(present, valid, samples)


def _network(classifier: Classifier) -> Any:
    """Return an onnx.ModelProto of the network, constants folded."""
    onnx, runtime = import_package("onnx"), import_package("onnxruntime")
    import_package("onnxscript")
    preprocess, graph = classifier.architecture.preprocess, _Graph(classifier).eval()
    example = _whole(np.zeros((len(preprocess.leads), preprocess.samples), dtype=np.float32))
    inputs = tuple(torch.from_numpy(value) for value in example.values())
    with torch.inference_mode():
        names = list(graph.named(*inputs))
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # the exporter warns of its own tracing, e.g. that an LSTM keeps a list of its weights
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            inputs,
            input_names=list(example),
            output_names=names,
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


def _whole(window: Float[np.ndarray, "l samples"]) -> dict[str, np.ndarray]:
    """Return the inputs of a window that lacks nothing."""
    leads, samples = window.shape
    return {
        SIGNAL: window[None],
        PRESENT: np.ones((1, leads), dtype=np.bool_),
        SAMPLES: np.array([samples], dtype=np.int64),
    }


def _fed(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return those inputs that a graph has: folding drops one that nothing reads."""
    names = {each.name for each in model.graph.input}
    return {name: value for name, value in inputs.items() if name in names}


def _quantise(model: Any, windows: Float[np.ndarray, "w l samples"]) -> Any:
    """Return the network in 8 bits."""
    onnx, tools = import_package("onnx"), import_package("onnxruntime.quantization")

    class Windows(tools.CalibrationDataReader):  # type: ignore[name-defined, misc]
        """Windows to measure activations on, one at a time."""

        def __init__(self) -> None:
            self._left = iter(windows)

        def get_next(self) -> dict[str, np.ndarray] | None:
            window = next(self._left, None)
            return None if window is None else _fed(model, _whole(window))

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

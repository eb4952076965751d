"""Files of earlier versions still load, and others are refused in a sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.edge.onnx_classifier import OnnxClassifier
from lamae.errors import InputError, RecordError
from tests.test_finetune_classifiers_export_onnx import record


def test_a_file_of_an_earlier_version_loads_and_wants_whole_windows_with_all_leads(
    tmp_path: Path,
) -> None:
    preprocess = Preprocessor(leads=LEADS, sampling_rate=100, duration_s=10, band_hz=None)
    shape = [1, len(LEADS), preprocess.samples]
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["signal"], ["mean"], axes=[2], keepdims=0),
            helper.make_node("Gemm", ["mean", "weight"], ["logits"]),
        ],
        "of an earlier version",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.ones((len(LEADS), 2), dtype=np.float32), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    described = {
        "preprocess": preprocess.model_dump(mode="json"),
        "classes": ["A", "B"],
        "multi_label": True,
        "thresholds": {"A": 0.5},
        "int8": False,
    }
    helper.set_model_props(model, {"lamae": json.dumps(described)})
    path = tmp_path / "earlier.onnx"
    path.write_bytes(model.SerializeToString())
    exported = OnnxClassifier(path)
    assert list(exported(record(preprocess, 10))) == ["A", "B"]
    with pytest.raises(RecordError, match="9 s; expected at least the 10 s") as short:
        exported(record(preprocess, 9))
    assert short.value.reason == "too_short"
    with pytest.raises(RecordError, match="no V6; expected at least 12 of the leads I, II"):
        exported(record(preprocess, 10, LEADS[:-1]))


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        OnnxClassifier(tmp_path / "none.onnx")
    for content in (b"nothing of use", b""):
        (tmp_path / "other.onnx").write_bytes(content)
        with pytest.raises(InputError, match="a network that onnxruntime can read"):
            OnnxClassifier(tmp_path / "other.onnx")

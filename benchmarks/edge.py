"""A classifier on one thread: PyTorch, ONNX and ONNX in 8 bits; size, latency, memory, agreement.

.venv/bin/python benchmarks/edge.py [--run RUN --data SHARDS] [--json FILE]
The published CNN-Attention-BiLSTM at random weights, with twelve leads and with lead I, on one
60-s recording at 250 Hz. A latency is processor time from the network's input to its logits, the
best of rounds in which all forms take turns; memory is the most that a fresh process held, with
what it imports, after and before the first recording. `train_seconds` is a step of
training on 32 such recordings, forward and back. With RUN, of finetune/main.py, its classifier is
measured too, and scored in all three forms on its evaluation split: macro AUROC, the paired
interval of what ONNX and 8 bits cost, and the largest difference of a probability. Ranges are
measured on recordings of its training split.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from finetune.classifiers.classifier import Architecture, build_classifier
from finetune.classifiers.export_onnx import calibration_windows, to_onnx
from finetune.classifiers.folder import LoadedClassifier, load_classifier, save_classifier
from finetune.classifiers.scoring import score_recordings
from finetune.data.tasks import make_task
from finetune.data.windows import LoaderOptions
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Split
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.edge.onnx_classifier import OnnxClassifier
from lamae.runs.tracking import read_summary
from lamae.statistics.score_intervals import bootstrap_scores
from lamae.storage.corpus import Corpus

ROOT = Path(__file__).resolve().parents[1]
CLASSES = tuple("ABCDEFGHI")
CALIBRATION = 128
MEMORY = """
import sys
import numpy as np
def peak():  # resource.getrusage would remember the process that this one was forked from
    (line,) = (each for each in open("/proc/self/status") if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
if sys.argv[1].endswith(".onnx"):
    from pathlib import Path
    from lamae.edge.onnx_classifier import OnnxClassifier
    before = peak()
    classifier = OnnxClassifier(Path(sys.argv[1]))
    preprocess = classifier.description.preprocess
    classifier.logits(np.zeros((len(preprocess.leads), preprocess.samples), dtype=np.float32))
else:
    import torch
    from pathlib import Path
    from finetune.classifiers.folder import load_classifier
    torch.set_num_threads(1)
    before = peak()
    classifier = load_classifier(Path(sys.argv[1])).classifier
    preprocess = classifier.architecture.preprocess
    with torch.inference_mode():
        classifier.model(torch.zeros(1, len(preprocess.leads), preprocess.samples))
print(before, peak())
"""


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if (arguments.run is None) != (arguments.data is None):
        parser.error("--run and --data go together")
    torch.set_num_threads(1)
    results: dict[str, Any] = {
        "device": "CPU, one thread",
        "load_at_start": os.getloadavg()[0],
        "torch": torch.__version__,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for leads in (LEADS, LEADS[:1]):
            drawn = published(leads)
            windows = np.random.default_rng(0).normal(size=(8, len(leads), 15_000))
            forms = Forms(drawn, windows.astype(np.float32), folder / f"{len(leads)}")
            found = forms.measure(arguments.rounds) | {"train_seconds": train_seconds(leads)}
            results |= {f"{name}_{len(leads)}_leads": value for name, value in found.items()}
        if arguments.run:
            results |= evaluate(arguments.run, arguments.data, folder / "run", arguments.rounds)
    for name, value in results.items():
        print(f"{name:44} {value:10.4g}" if isinstance(value, float) else f"{name:44} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


class Forms:
    """One classifier as PyTorch has it, as ONNX, and as ONNX in 8 bits."""

    def __init__(self, loaded: LoadedClassifier, windows: np.ndarray, folder: Path) -> None:
        """Export it, with activations measured on (windows, leads, samples), into `folder`."""
        self.loaded, self.windows = loaded, windows
        save_classifier(folder / "torch", loaded.classifier, thresholds={}, about={})
        self.paths = {"torch": folder / "torch"}
        for form, ranges in (("onnx", None), ("int8", windows)):
            self.paths[form] = folder / f"{form}.onnx"
            self.paths[form].write_bytes(to_onnx(loaded, ranges))
        self.onnx = {form: OnnxClassifier(self.paths[form]) for form in ("onnx", "int8")}

    def torch_logits(self, signal: np.ndarray) -> np.ndarray:
        """Classify a window with PyTorch."""
        with torch.inference_mode():
            logits: torch.Tensor = self.loaded.classifier.model(torch.from_numpy(signal[None]))[0]
        return logits[0].double().numpy()

    def measure(self, rounds: int) -> dict[str, float]:
        """Return size, latency and memory of each form."""
        functions = {"torch": self.torch_logits} | {f: c.logits for f, c in self.onnx.items()}
        seconds = best_seconds(
            {f: partial(g, self.windows[0]) for f, g in functions.items()}, rounds
        )
        found: dict[str, float] = {}
        for form, path in self.paths.items():
            weights = path / "model.safetensors" if path.is_dir() else path
            found[f"mb_{form}"] = weights.stat().st_size / 1e6
            found[f"latency_ms_{form}"] = 1e3 * seconds[form]
            found[f"memory_mb_{form}"], found[f"memory_added_mb_{form}"] = memory(path)
        return found


def published(leads: tuple[str, ...]) -> LoadedClassifier:
    """Return the network of the paper at random weights, for 60 s at 250 Hz."""
    torch.manual_seed(0)
    settings = FinetuneSettings(data=Path("unused"), encoder=Path("unused"))
    architecture = Architecture(
        mode="cnn_attention_bilstm",
        classes=CLASSES,
        multi_label=True,
        preprocess=Preprocessor(leads=leads, sampling_rate=250, duration_s=60),
        pooling=settings.pooling,
        encoder=None,
        lasan=settings.lasan,
        cnn_attention_bilstm=settings.cnn_attention_bilstm,
    )
    classifier = build_classifier(architecture)
    classifier.model.eval()
    return LoadedClassifier(classifier, {}, {})


def best_seconds(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the shortest processor time of each, after a first one that is not counted."""
    best = dict.fromkeys(work, float("inf"))
    for number in range(rounds + 1):
        for name, function in work.items():
            started = time.process_time()
            function()
            if number:
                best[name] = min(best[name], time.process_time() - started)
    return best


def memory(path: Path) -> tuple[float, float]:
    """Return MB that a process held at most, and how many of them after its imports."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", MEMORY, str(path)]
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    before, most = map(float, told.stdout.split())
    return most, most - before


def train_seconds(leads: tuple[str, ...]) -> float:
    """Return the processor time of a training step on 32 recordings of 60 s, the better of two."""
    model = published(leads).classifier.model.train()
    signal = torch.randn(32, len(leads), 15_000)

    def step() -> None:
        model.zero_grad()
        model(signal).logits.square().mean().backward()

    return best_seconds({"step": step}, rounds=2)["step"]


def evaluate(run: Path, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Measure the classifier of a run, and score all forms on its evaluation split."""
    loaded, corpus = load_classifier(run), Corpus(data)
    preprocess = loaded.classifier.architecture.preprocess
    settings = FinetuneSettings.model_validate({**read_summary(run)["config"], "data": data})
    windows = calibration_windows(
        corpus,
        preprocess,
        split=settings.train_split,
        recordings=CALIBRATION,
        generator=np.random.default_rng(0),
    )
    forms = Forms(loaded, windows, folder)
    part = make_task(corpus, settings).evaluation
    scored = score_recordings(
        loaded.classifier,
        Split(corpus, part.rows, preprocess),
        LoaderOptions(settings.batch_size, len(preprocess.leads)),
        accelerator=Accelerator(cpu=True),
    )
    part = part.only(part.rows[scored.positions])
    records = [corpus.record(int(row)) for row in part.rows]
    scores = {"torch": scored.probabilities} | {
        form: np.array([list(classify(record).values()) for record in records])
        for form, classify in forms.onnx.items()
    }
    measured = bootstrap_scores(
        part.labels,
        scores,
        part.patients,
        classes=loaded.classifier.architecture.classes,
        generator=np.random.default_rng(0),
    )
    found: dict[str, Any] = {"recordings": measured.records, "patients": measured.patients}
    for form, values in scores.items():
        found[f"auroc_macro_{form}"] = measured.models[form].auroc_macro._asdict()
        if form in measured.differences:
            difference = measured.differences[form].auroc_macro._asdict()
            found[f"auroc_macro_torch_minus_{form}"] = difference
            found[f"largest_difference_{form}"] = float(np.abs(values - scores["torch"]).max())
    return {f"{name}_run": value for name, value in {**forms.measure(rounds), **found}.items()}


if __name__ == "__main__":
    main()

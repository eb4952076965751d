"""An exported classifier says what PyTorch says; in 8 bits nearly so, at a quarter of the size."""

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.special import expit

from finetune.classifiers.classifier import Architecture, Classifier, build_classifier
from finetune.classifiers.export_onnx import calibration_windows, export, to_onnx
from finetune.classifiers.folder import LoadedClassifier, save_classifier
from finetune.classifiers.settings import WITHOUT_ENCODER, ExportSettings, Mode
from finetune.networks.settings import (
    CnnAttentionBilstmSettings,
    HierarchicalTransformerSettings,
    LasanSettings,
)
from lamae.batches.dataset import collate
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record
from lamae.ecg.windows import covering_windows
from lamae.edge.onnx_classifier import OnnxClassifier
from lamae.errors import InputError, RecordError
from lamae.model.settings import EncoderSettings
from lamae.statistics.probabilities import ClassCalibration, probabilities
from lamae.storage.corpus import Corpus

SAME_NETWORK = ("full", "probe_then_full")  # as probe, once trained
MODES = [mode for mode in get_args(Mode) if mode not in SAME_NETWORK]
PREPROCESS = Preprocessor(leads=LEADS, sampling_rate=200, duration_s=5, band_hz=None)


def loaded(mode: Mode, preprocess: Preprocessor = PREPROCESS, classes: int = 3) -> LoadedClassifier:
    torch.manual_seed(5)
    sizes = EncoderSettings(patch_size=100, width=16, depth=1, heads=2, latent_depth=1)
    architecture = Architecture(
        mode=mode,
        classes=tuple("ABCDEFGHI"[:classes]),
        multi_label=True,
        preprocess=preprocess,
        pooling="lead_mean",
        encoder=None if mode in WITHOUT_ENCODER else sizes,
        lasan=LasanSettings(channels=(8, 8), kernel_size=5, depth=1, heads=2, hidden=8),
        cnn_attention_bilstm=CnnAttentionBilstmSettings(batch_norm_momentum=0.1),
        hierarchical_transformer=HierarchicalTransformerSettings(
            width=24, depth=3, heads=2, hidden=16
        ),
    )
    classifier = build_classifier(architecture)
    classifier.model.eval()
    return LoadedClassifier(classifier, {"A": 0.25}, {"settings": {"min_leads": 2}})


def record(
    preprocess: Preprocessor, seconds: float, leads: tuple[str, ...] = LEADS, seed: int = 7
) -> Record:
    samples = round(seconds * preprocess.sampling_rate)
    generator = np.random.default_rng(seed)
    rate_hz, amplitude = generator.uniform(0.5, 8), generator.uniform(100, 900, (len(leads), 1))
    times = np.arange(samples) / preprocess.sampling_rate
    beats = amplitude * np.sin(2 * np.pi * rate_hz * times) ** 5
    drawn = beats + generator.normal(0, 50, size=(len(leads), samples))
    ones = len(leads)
    digital = drawn.astype(np.int16)
    return Record("drawn", digital, leads, preprocess.sampling_rate, (1000.0,) * ones, (0,) * ones)


def windows(preprocess: Preprocessor, seeds: Iterable[int]) -> np.ndarray:
    return np.stack([preprocess(record(preprocess, 10, seed=seed)).signal for seed in seeds])


def torch_logits(classifier: Classifier, signal: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        found: torch.Tensor = classifier.model(torch.from_numpy(signal)[None]).logits
    return found[0].numpy()


RECORDS = {
    "longer": record(PREPROCESS, 12),
    "shorter": record(PREPROCESS, 3.3),
    "fewer leads": record(PREPROCESS, 5, ("I", "V1", "V5")),
    "shorter, fewer leads": record(PREPROCESS, 2.7, ("II", "V3")),
}
"""Recordings that are no whole window with all leads."""


def torch_answer(loaded: LoadedClassifier, record: Record) -> np.ndarray:
    """Return the probabilities of a record by torch, through the batches of all programs."""
    classifier = loaded.classifier
    preprocess = classifier.architecture.preprocess
    length = -(-record.digital.shape[1] * preprocess.sampling_rate // record.sampling_rate)
    starts = covering_windows(np.arange(1), np.array([length]), window=preprocess.samples).starts
    batch = collate([("", preprocess(record, int(start))) for start in starts])
    with torch.inference_mode():
        logits = classifier.outputs(batch, torch.device("cpu")).logits
    return probabilities(
        logits.double().mean(dim=0).numpy(),
        multi_label=classifier.architecture.multi_label,
        calibration=classifier.architecture.calibration,
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_file_of_every_mode_gives_the_logits_of_pytorch(mode: Mode, tmp_path: Path) -> None:
    classifier = loaded(mode)
    path = tmp_path / "classifier.onnx"
    path.write_bytes(to_onnx(classifier))
    exported = OnnxClassifier(path)
    assert exported.description.classes == ("A", "B", "C")
    assert exported.description.thresholds == {"A": 0.25}
    assert exported.description.preprocess == PREPROCESS
    signal = PREPROCESS(record(PREPROCESS, 5)).signal
    expected = torch_logits(classifier.classifier, signal)
    np.testing.assert_allclose(exported.logits(signal), expected, atol=2e-5)
    for drawn in RECORDS.values():
        wanted = torch_answer(classifier, drawn)
        found = exported(drawn)
        assert list(found) == ["A", "B", "C"]
        np.testing.assert_allclose(list(found.values()), wanted, atol=1e-5)
    if mode in ("attention_probe", "lasan", "hybrid"):
        window = PREPROCESS(RECORDS["fewer leads"])
        weights = exported.outputs(window.signal, window.present, window.samples).lead_weights
        assert weights is not None
        np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
        np.testing.assert_allclose(weights[~window.present], 0, atol=1e-7)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedClassifier, Path]:
    """Return a probe with calibrated classes, and its file."""
    before = loaded("probe")
    isotonic = ClassCalibration(logits=(-1.0, 0.0, 2.0), probabilities=(0.0, 0.5, 0.9))
    parts = (ClassCalibration(slope=0.5, intercept=-1.0), ClassCalibration(), isotonic)
    architecture = before.classifier.architecture.model_copy(update={"calibration": parts})
    changed = before._replace(classifier=before.classifier._replace(architecture=architecture))
    path = tmp_path_factory.mktemp("probe") / "classifier.onnx"
    path.write_bytes(to_onnx(changed))
    return changed, path


def test_what_absent_leads_and_padding_hold_changes_nothing(
    probe: tuple[LoadedClassifier, Path],
) -> None:
    exported = OnnxClassifier(probe[1])
    signal = PREPROCESS(record(PREPROCESS, 5)).signal
    present = np.array([lead not in ("V2", "V6") for lead in LEADS])
    signal[~present] = 0
    signal[:, 700:] = 0
    clean = exported.outputs(signal, present, 700)
    signal[~present] = 3
    signal[:, 700:] = -2
    np.testing.assert_allclose(exported.outputs(signal, present, 700).logits, clean.logits)
    assert np.abs(exported.logits(signal) - clean.logits).max() > 1e-3


def test_the_file_tells_embedding_and_weights_of_leads_where_the_model_has_them(
    probe: tuple[LoadedClassifier, Path],
) -> None:
    window = PREPROCESS(RECORDS["fewer leads"])
    found = OnnxClassifier(probe[1]).outputs(window.signal, window.present, window.samples)
    assert found.lead_weights is None, "its pooling keeps leads side by side"
    assert found.embedding is not None
    assert found.embedding.shape == (16 * len(LEADS),)
    assert found.embedding.reshape(len(LEADS), 16).any(axis=1).tolist() == window.present.tolist()


def test_a_calibration_reaches_the_file_and_torch_alike(
    probe: tuple[LoadedClassifier, Path],
) -> None:
    drawn = record(PREPROCESS, 5)
    a, b, c = torch_logits(probe[0].classifier, PREPROCESS(drawn).signal)
    wanted = [expit(0.5 * a - 1), expit(b), np.interp(c, [-1, 0, 2], [0, 0.5, 0.9])]
    np.testing.assert_allclose(list(OnnxClassifier(probe[1])(drawn).values()), wanted, atol=1e-5)
    np.testing.assert_allclose(torch_answer(probe[0], drawn), wanted, atol=1e-5)
    for other in RECORDS.values():
        found = list(OnnxClassifier(probe[1])(other).values())
        np.testing.assert_allclose(found, torch_answer(probe[0], other), atol=1e-5)


def test_an_encoder_that_reads_millivolts_is_exported_with_its_own_z_score(tmp_path: Path) -> None:
    torch.manual_seed(5)
    reads = PREPROCESS.model_copy(update={"normalisation": "none"})
    before = loaded("probe").classifier.architecture
    assert isinstance(before.encoder, EncoderSettings)
    encoder = before.encoder.model_copy(update={"millivolts": True})
    changes = {"preprocess": reads, "pooling": "lead_summary", "encoder": encoder}
    classifier = build_classifier(before.model_copy(update=changes))
    classifier.model.eval()
    path = tmp_path / "classifier.onnx"
    path.write_bytes(to_onnx(LoadedClassifier(classifier, {}, {})))
    signal = reads(record(reads, 5)).signal
    expected = torch_logits(classifier, signal)
    np.testing.assert_allclose(OnnxClassifier(path).logits(signal), expected, atol=2e-5)


@pytest.fixture(scope="module")
def published() -> LoadedClassifier:
    """Return the published network of nine classes, with random weights, on 10 s at 100 Hz."""
    preprocess = Preprocessor(leads=LEADS, sampling_rate=100, duration_s=10, band_hz=None)
    network = loaded("cnn_attention_bilstm", preprocess, classes=9)
    model = network.classifier.model.train()
    signal = torch.from_numpy(windows(preprocess, range(8)))
    for _ in range(30):  # until the running statistics are those of the recordings
        with torch.no_grad():
            model(signal)
    model.eval()
    return network


@pytest.fixture(scope="module")
def quantised(published: LoadedClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    preprocess = published.classifier.architecture.preprocess
    path = tmp_path_factory.mktemp("quantised") / "int8.onnx"
    path.write_bytes(to_onnx(published, windows(preprocess, range(8))))
    return path


def test_in_8_bits_the_published_network_has_at_most_1_1_mb(quantised: Path) -> None:
    assert quantised.stat().st_size <= 1.1e6
    assert OnnxClassifier(quantised).description.int8


def test_in_8_bits_logits_differ_little_from_those_of_pytorch(
    published: LoadedClassifier, quantised: Path
) -> None:
    exported, preprocess = OnnxClassifier(quantised), published.classifier.architecture.preprocess
    signals = windows(preprocess, range(100, 108))
    wanted = np.stack([torch_logits(published.classifier, signal) for signal in signals])
    found = np.stack([exported.logits(signal) for signal in signals])
    between_recordings = ((wanted - wanted.mean(axis=0)) ** 2).mean()
    assert ((found - wanted) ** 2).mean() < 0.2 * between_recordings
    assert np.abs(found - wanted).max() > 0, "these are no 8 bits"


def test_logits_of_a_long_recording_are_averaged_over_the_windows_that_cover_it(
    published: LoadedClassifier, quantised: Path
) -> None:
    exported, preprocess = OnnxClassifier(quantised), published.classifier.architecture.preprocess
    long = record(preprocess, 25)
    starts = (0, 750, 1500)  # three windows of 1,000 over 2,500 samples
    logits = np.mean([exported.logits(preprocess(long, start).signal) for start in starts], axis=0)
    np.testing.assert_allclose(list(exported(long).values()), expit(logits), rtol=1e-6)


def test_a_recording_of_too_few_leads_is_refused(
    published: LoadedClassifier, quantised: Path
) -> None:
    exported, preprocess = OnnxClassifier(quantised), published.classifier.architecture.preprocess
    assert exported(record(preprocess, 10, LEADS[6:8]))
    with pytest.raises(RecordError, match="expected at least 2 of the leads I, II"):
        exported(record(preprocess, 10, LEADS[6:7]))


def test_the_verb_quantises_on_recordings_of_shards_and_keeps_what_is_there(
    simulated_shards: Path, tmp_path: Path
) -> None:
    network = loaded("cnn_attention_bilstm", PREPROCESS.model_copy(update={"sampling_rate": 100}))
    save_classifier(tmp_path / "run", network.classifier, thresholds={}, about={})
    settings = ExportSettings(
        classifier=tmp_path / "run",
        output=tmp_path / "int8.onnx",
        int8=True,
        data=simulated_shards,
        recordings=4,
    )
    assert "8-bit classifier" in export(settings)[0]
    signal = network.classifier.architecture.preprocess(record(PREPROCESS, 10)).signal
    assert np.isfinite(OnnxClassifier(settings.output).logits(signal)).all()
    with pytest.raises(InputError, match="overwrite=true"):
        export(settings)


def test_without_recordings_for_its_ranges_int8_is_refused() -> None:
    with pytest.raises(ValueError, match="int8 needs data"):
        ExportSettings(classifier=Path("run"), output=Path("x.onnx"), int8=True)


def test_recordings_that_do_not_fill_a_window_give_no_ranges(corpus: Corpus) -> None:
    longer = Preprocessor(sampling_rate=100, duration_s=6, band_hz=None)
    with pytest.raises(InputError, match="none of 4 recordings fills a window"):
        calibration_windows(
            corpus, longer, split="train", recordings=4, generator=np.random.default_rng(0)
        )

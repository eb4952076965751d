"""Recordings put to a detector: windows, streams, files, folders."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune.anomaly.detector.detectors import Detector
from finetune.anomaly.detector.folder import Decision, load_detector, save_detector
from finetune.anomaly.detector.recordings import (
    embed_recordings,
    grid_windows,
    score_recordings,
    score_windows,
)
from finetune.anomaly.detector.training import _validate, learn, windows_to_learn
from finetune.anomaly.evaluation.normals import AnomalyTask, make_anomaly_task
from finetune.anomaly.evaluation.picture import binned, deviation_paper, stitch
from finetune.anomaly.run_settings import AnomalyScoreSettings
from finetune.anomaly.score_file import score_file
from finetune.anomaly.settings import AnomalyTraining, Architecture, VaeSettings
from finetune.anomaly.streaming import StreamingDetector
from finetune.data.windows import LoaderOptions
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import MISSING
from lamae.ecg.windows import Windows
from lamae.errors import InputError
from lamae.runs.run_folder import WEIGHTS
from lamae.storage.corpus import Corpus

READING = LoaderOptions(batch_size=5, min_leads=12, workers=0)


def make_detector(kind: str = "cae", **changes: Any) -> Detector:
    values: dict[str, Any] = {"sampling_rate": 100, "duration_s": 2.0, "band_hz": None}
    torch.manual_seed(0)
    architecture = Architecture.model_validate(
        {
            "kind": kind,
            "preprocess": Preprocessor.model_validate(values | changes),
            "vae": VaeSettings(hidden=(8, 4), latent=8),
        }
    )
    return Detector(architecture).eval()


def make_task(corpus: Corpus, **changes: Any) -> AnomalyTask:
    values: dict[str, Any] = {
        "label_set": "class",
        "normal_class": "sinus",
        "rule": "only",
        "splits": ("train", "val"),
        "hold_out": 0.3,
        "seed": 0,
    }
    return make_anomaly_task(corpus, **(values | changes))


def split(detector: Detector, corpus: Corpus, rows: np.ndarray) -> Split:
    return Split(corpus, rows, detector.architecture.preprocess)


def test_windows_at_equal_distances_stay_within_recordings_and_are_as_many_as_fit() -> None:
    lengths = np.array([1000, 500, 300, 740])
    found = grid_windows(np.arange(4), lengths, window=500, stride=125)
    by_recording = [found.starts[found.positions == number].tolist() for number in range(4)]
    assert by_recording == [[0, 125, 250, 375, 500], [0], [0], [0, 125]]


def test_windows_to_learn_are_a_quarter_of_a_window_apart_at_any_length(corpus: Corpus) -> None:
    for duration_s, starts in ((2.0, range(0, 301, 50)), (4.0, (0, 100))):
        detector = make_detector(duration_s=duration_s)
        data = split(detector, corpus, corpus.rows("val")[:1])  # of 500 samples
        assert windows_to_learn(data, AnomalyTraining()).starts.tolist() == list(starts)


def test_a_detector_learns_only_from_normals_and_shares_no_patient(corpus: Corpus) -> None:
    task = make_task(corpus)
    labels = corpus.labels("class")
    assert all(labels[row] == ("sinus",) for row in task.train)
    known = (labels[int(row)] for row in task.evaluation.rows)
    assert task.evaluation.abnormal.tolist() == [classes != ("sinus",) for classes in known]
    patients = [
        set(corpus.patients[task.train]),
        set(task.validation.patients),
        set(task.evaluation.patients),
    ]
    assert sum(map(len, patients)) == len(set.union(*patients))
    train, val = len(corpus.rows("train")), len(corpus.rows("val"))
    assert len(task.evaluation.rows) == val and task.without_class == 0
    assert len(task.train) + len(task.validation.rows) < train


def test_a_class_that_no_recording_has_is_refused(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="some of class NORM"):
        make_task(corpus, normal_class="NORM")


def test_the_score_of_a_recording_is_the_mean_or_the_highest_of_its_windows(
    corpus: Corpus,
) -> None:
    detector = make_detector()
    data = split(detector, corpus, corpus.rows("val")[:4])
    starts = np.array([0, 150, 300])  # of 500 samples, windows of 200
    windows = Windows(np.repeat(np.arange(4), 3), np.tile(starts, 4))
    each = score_windows(detector, data, windows, READING).scores.reshape(4, 3)
    for over, expected in (("mean", each.mean(axis=1)), ("max", each.max(axis=1))):
        found = score_recordings(detector, data, READING, over=over)  # type: ignore[arg-type]
        assert found.positions.tolist() == [0, 1, 2, 3]
        assert found.scores[:, 0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["cae", "vae_bilstm"])
@pytest.mark.parametrize("chunk", [1, 7, 130, 500])
def test_a_stream_in_any_pieces_has_the_scores_of_the_windows_offline(
    corpus: Corpus, kind: str, chunk: int
) -> None:
    detector = make_detector(kind)
    rows = corpus.rows("val")[:1]
    record = corpus.record(int(rows[0]))
    stream = StreamingDetector(detector, record, hop_s=0.5)
    found = []
    for start in range(0, record.digital.shape[1], chunk):
        found += stream.push(record.digital[:, start : start + chunk])
    starts = np.arange(0, 301, 50)
    windows = Windows(np.zeros(len(starts), dtype=np.int64), starts)
    offline = score_windows(detector, split(detector, corpus, rows), windows, READING)
    assert [round(each.start_s * 100) for each in found] == starts.tolist()
    for name in detector.architecture.scores:
        streamed = [each.scores[name] for each in found if each.scores is not None]
        assert streamed == pytest.approx(offline.column(detector, name), rel=1e-4)


def test_with_a_filter_a_stream_has_the_scores_of_its_windows_as_recordings(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = make_detector(band_hz=(0.5, 40.0))
    data = split(detector, corpus, corpus.rows("val")[:1])
    record = corpus.record(int(data.rows[0]))

    def offline(start: int) -> float:
        window = Windows(np.array([0]), np.array([start]))
        return float(score_windows(detector, data, window, READING).scores[0, 0])

    (first, second) = StreamingDetector(detector, record).push(record.digital)
    assert (first.start_s, second.start_s) == (0.0, 2.0)
    assert second.scores is not None
    filtered_as_a_whole = offline(200)
    cut = replace(record, digital=record.digital[:, 200:400])
    monkeypatch.setattr(Corpus, "record", lambda _, row: cut)
    assert second.scores["mse"] == pytest.approx(offline(0), rel=1e-5)
    assert second.scores["mse"] != pytest.approx(filtered_as_a_whole, rel=1e-3)


def test_a_window_that_cannot_be_used_takes_no_other_with_it(corpus: Corpus) -> None:
    detector = make_detector()
    record = corpus.record(int(corpus.rows("val")[0]))
    digital = record.digital.copy()
    digital[:, 200:400] = MISSING
    first, second = StreamingDetector(detector, record).push(digital)
    assert first.scores is not None and first.problem is None
    assert second.scores is None and second.problem is not None


def test_a_score_comes_with_the_last_sample_of_its_window(corpus: Corpus) -> None:
    detector = make_detector()
    record = corpus.record(int(corpus.rows("val")[0]))
    stream = StreamingDetector(detector, record)
    assert stream.latency_s == 2.0
    assert stream.push(record.digital[:, :199]) == []
    assert len(stream.push(record.digital[:, 199:200])) == 1
    with pytest.raises(InputError, match="hop_s"):
        StreamingDetector(detector, record, hop_s=0.001)


def test_training_lowers_the_loss_is_repeatable_and_keeps_the_best_weights(
    corpus: Corpus,
) -> None:
    task = make_task(corpus)
    training = AnomalyTraining(steps=12, batch_size=8, lr=0.1, validate_every=3)
    found = []
    for _ in range(2):
        detector = make_detector("vae_bilstm")
        train = split(detector, corpus, task.train)
        held_out = split(detector, corpus, task.validation.normals)
        found.append((learn(detector, train, held_out, training, seed=1), detector))
    (first, detector), (second, _) = found
    losses = [row["val/loss"] for row in first.history]
    assert [row["step"] for row in first.history] == [3, 6, 9, 12]
    assert min(losses) < losses[0] and first.best == 3 * (int(np.argmin(losses)) + 1) < 12
    held_out = split(detector, corpus, task.validation.normals)
    assert _validate(detector, held_out, training) == pytest.approx(min(losses), rel=1e-6)
    assert first == second
    assert not detector.training


def test_a_validation_loss_that_is_not_finite_is_refused(corpus: Corpus) -> None:
    task, detector = make_task(corpus), make_detector()
    train, held_out = (split(detector, corpus, x) for x in (task.train, task.validation.normals))
    with pytest.raises(InputError, match=r"validation loss .*Lower training\.lr"):
        learn(detector, train, held_out, AnomalyTraining(steps=1, lr=1e30), seed=0)


def test_without_a_recording_that_can_be_embedded_nothing_is_learnt(
    corpus: Corpus, corpus_with_limb_leads: Callable[..., Corpus]
) -> None:
    rows = corpus.rows("train")[:3]
    detector = make_detector()
    data = split(detector, corpus_with_limb_leads(rows), rows)
    with pytest.raises(InputError, match=r"none of 3 can be used: missing_leads"):
        embed_recordings(detector, data, READING)


def test_a_detector_is_the_same_behind_its_folder_and_damage_is_found(
    corpus: Corpus, tmp_path: Path
) -> None:
    detector = make_detector("vae_bilstm")
    decision = Decision(score="nll", over="max", threshold=1.5)
    save_detector(tmp_path / "run" / "detector", detector, decision, about={})
    loaded = load_detector(tmp_path / "run")
    assert loaded.decision == decision and not loaded.detector.training
    data = split(detector, corpus, corpus.rows("val")[:3])
    own, theirs = (
        score_recordings(each, data, READING, over="max").scores
        for each in (detector, loaded.detector)
    )
    assert np.array_equal(own, theirs)
    weights = tmp_path / "run" / "detector" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="SHA-256"):
        load_detector(tmp_path / "run")
    with pytest.raises(InputError, match="Check detector="):
        load_detector(tmp_path)


def test_the_file_of_scores_has_a_line_for_every_recording(corpus: Corpus, tmp_path: Path) -> None:
    detector = make_detector()
    rows = corpus.rows("val")
    scores = score_recordings(detector, split(detector, corpus, rows), READING, over="mean").scores
    cut = float(np.median(scores))
    decision = Decision(score="mse", over="mean", threshold=cut)
    save_detector(tmp_path / "detector", detector, decision, about={})
    settings = AnomalyScoreSettings(
        detector=tmp_path / "detector",
        data=corpus.folder,
        output=tmp_path / "scores.csv",
        splits=("val",),
        data_workers=0,
    )
    assert "unusable" in score_file(settings)[0]
    with settings.output.open() as file:
        found = list(csv.DictReader(file))
    assert [row["key"] for row in found] == corpus.keys[rows].tolist()
    assert [float(row["mse"]) for row in found] == pytest.approx(scores[:, 0], rel=1e-4)
    assert [row["called"] == "1" for row in found] == (scores[:, 0] >= cut).tolist()
    with pytest.raises(InputError, match="overwrite=true"):
        score_file(settings)


def test_a_map_shows_what_the_windows_say_where_they_are(corpus: Corpus) -> None:
    detector = make_detector()
    data = split(detector, corpus, corpus.rows("val")[:1])
    found = stitch(detector, data, 0)
    assert found.signal_mv.shape == found.deviation.shape == (12, 500)
    raw = corpus.record(int(data.rows[0])).signal_mv()
    assert found.signal_mv == pytest.approx(raw, abs=1e-4)
    assert (found.deviation >= 0).all()
    assert binned(found.deviation, 100).mean() == pytest.approx(found.deviation.mean())


def test_the_heat_map_lies_behind_the_lead_and_the_time_of_its_field(corpus: Corpus) -> None:
    detector = make_detector()
    data = split(detector, corpus, corpus.rows("val")[:1])
    stitched = stitch(detector, data, 0)
    leads = detector.architecture.preprocess.leads
    figure = deviation_paper(stitched, leads, sampling_rate=100, highest=1.0, title="")
    axes = figure.axes[0]
    meshes = [each for each in axes.collections if each.get_array() is not None]
    assert len(meshes) == 12
    heat = binned(stitched.deviation, 100)
    for mesh, row, line in zip(meshes, heat, axes.lines, strict=False):
        assert np.asarray(mesh.get_array()).ravel() == pytest.approx(row)
        x_mm, y_mm = mesh.get_datalim(axes.transData).intervalx, line.get_ydata()
        assert x_mm[1] - x_mm[0] == pytest.approx(25 * 5.0)
        bottom, top = mesh.get_datalim(axes.transData).intervaly
        assert bottom <= np.median(np.asarray(y_mm)) <= top

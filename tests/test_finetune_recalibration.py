"""A recalibrated classifier fits the place, is measured on other patients, and works everywhere."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from scipy.special import expit, softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from finetune.classifiers.classifier import Architecture, build_classifier
from finetune.classifiers.folder import load_classifier, save_classifier
from finetune.classifiers.scoring import score_recordings
from finetune.data.windows import LoaderOptions
from finetune.networks.settings import CnnAttentionBilstmSettings, LasanSettings
from finetune.recalibration.cohort import Cohort
from finetune.recalibration.cross_fit import as_it_was, cross_fitted
from finetune.recalibration.fit import Classes, fit, takes_curve
from finetune.recalibration.run import recalibrate
from finetune.recalibration.settings import RecalibrateSettings
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.statistics.calibration import calibration_error
from lamae.statistics.probabilities import ClassCalibration, probabilities
from lamae.statistics.thresholds import f_beta
from lamae.storage.corpus import Corpus

PREPROCESS = Preprocessor(sampling_rate=100, duration_s=5, band_hz=None)


def classes(
    count: int, *, multi_label: bool = True, isotonic: bool = False, fitted: bool = True
) -> Classes:
    return Classes(
        tuple("ABCDEF"[:count]),
        multi_label,
        (ClassCalibration(),) * count,
        np.full(count, 0.5),
        np.full(count, fitted),
        np.full(count, isotonic),
    )


def drawn(
    records: int, slope: float = 0.4, intercept: float = -1.5
) -> tuple[np.ndarray, np.ndarray]:
    """Draw logits that are too sure and too high, and labels by the truth."""
    generator = np.random.default_rng(2)
    logits = generator.normal(0.5, 2.5, (records, 1))
    return logits, generator.random((records, 1)) < expit(0.4 * logits - 1.5)


def people(records: int) -> list[str]:
    return [f"p{number // 2}" for number in range(records)]


def test_the_line_is_that_of_a_logistic_regression_by_another_program() -> None:
    logits, labels = drawn(20_000)
    found = fit(logits, labels, people(20_000), classes(1), f_beta).calibration[0]
    other = LogisticRegression(C=np.inf).fit(logits, labels[:, 0])
    assert found.slope == pytest.approx(other.coef_[0, 0], abs=2e-3)
    assert found.intercept == pytest.approx(other.intercept_[0], abs=2e-3)
    assert found.slope == pytest.approx(0.4, abs=0.05), "the truth"


def test_classes_told_apart_without_error_get_a_finite_line() -> None:
    logits = np.linspace(-5, 5, 60)[:, None]
    found = fit(logits, logits > 0, people(60), classes(1), f_beta)
    assert np.isfinite(found.calibration[0].slope)
    assert 0 < found.thresholds[0] < 1


def test_the_curve_is_that_of_another_program_and_never_certain() -> None:
    logits, labels = drawn(600)
    (part,) = fit(logits, labels, people(600), classes(1, isotonic=True), f_beta).calibration
    mine = probabilities(logits, multi_label=True, calibration=(part,))[:, 0]
    other = IsotonicRegression().fit(logits[:, 0], labels[:, 0]).predict(logits[:, 0])
    np.testing.assert_allclose(mine, other.clip(1 / 602, 601 / 602), atol=1e-12)


def test_a_softmax_finds_the_slope_and_intercepts_that_labels_were_drawn_by() -> None:
    generator = np.random.default_rng(4)
    logits = generator.normal(0, 3, (30_000, 3))
    truth = softmax(0.5 * logits + [1.0, 0.0, -1.0], axis=1)
    chosen = (truth.cumsum(axis=1) > generator.random((30_000, 1))).argmax(axis=1)
    labels = np.arange(3) == chosen[:, None]
    one_class = classes(3, multi_label=False)
    found = fit(logits, labels, people(30_000), one_class, f_beta).calibration
    mine = probabilities(logits, multi_label=False, calibration=found)
    assert found[0].slope == found[2].slope == pytest.approx(0.5, abs=0.02)
    assert np.abs(mine - truth).mean() < 0.01


def test_what_cannot_be_fitted_stays_as_it_was() -> None:
    logits, labels = drawn(400)
    before = classes(1, fitted=False)
    few = fit(logits, labels, people(400), before, f_beta)
    assert (few.calibration, few.thresholds.tolist()) == (before.calibration, [0.5])
    for isotonic in (False, True):
        turned = fit(-logits, labels, people(400), classes(1, isotonic=isotonic), f_beta)
        assert turned.calibration == before.calibration
        assert turned.thresholds.tolist() == [0.5]
        assert list(turned.problems) == ["A"]


def test_a_curve_is_taken_where_there_are_patients_enough() -> None:
    fewer = np.array([199, 200])
    assert takes_curve(fewer, "auto", 200).tolist() == [False, True]
    assert takes_curve(fewer, "platt", 200).tolist() == [False, False]
    assert takes_curve(fewer, "isotonic", 200).tolist() == [True, True]


def test_it_is_measured_on_patients_that_were_not_fitted() -> None:
    """Of labels by chance a curve fitted on the same recordings would seem to know something."""
    own, errors = classes(1, isotonic=True), []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        logits, labels = generator.normal(size=(200, 1)), generator.random((200, 1)) < 0.5
        cohort = Cohort(logits, labels, people(200), {})
        held_out = cross_fitted(cohort, own, f_beta, folds=5, generator=generator).probabilities
        part = fit(*cohort[:3], own, f_beta).calibration
        same = probabilities(logits, multi_label=True, calibration=part)
        errors.append([((values - labels) ** 2).mean() for values in (same, held_out)])
    same_patients, others = np.median(errors, axis=0)
    assert same_patients < others - 0.01


def test_probabilities_that_were_too_sure_are_calibrated_afterwards() -> None:
    logits, labels = drawn(500)
    cohort, own = Cohort(logits, labels, people(500), {}), classes(1)
    generator = np.random.default_rng(0)
    after = cross_fitted(cohort, own, f_beta, folds=5, generator=generator)
    before = as_it_was(cohort, own)
    error = [calibration_error(labels, each.probabilities)[0] for each in (before, after)]
    assert error[0] > 0.2
    assert error[1] < 0.06


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Save a small network whose logits are too sure."""
    torch.manual_seed(3)
    architecture = Architecture(
        mode="lasan",
        classes=("sinus", "LBBB", "rare"),
        multi_label=True,
        preprocess=PREPROCESS,
        pooling="attention",
        encoder=None,
        lasan=LasanSettings(channels=(8, 8), kernel_size=5, depth=1, heads=2, hidden=8),
        cnn_attention_bilstm=CnnAttentionBilstmSettings(),
    )
    folder = tmp_path / "before"
    about = {"settings": {"min_leads": 4}}
    save_classifier(folder, build_classifier(architecture), thresholds={"rare": 0.7}, about=about)
    return folder


def test_the_verb_leaves_a_model_that_opens_with_its_calibration(
    saved: Path, simulated_shards: Path, tmp_path: Path, accelerator: Accelerator
) -> None:
    settings = RecalibrateSettings(
        model=str(saved),
        data=simulated_shards,
        label_set="class",
        output=tmp_path / "after",
        min_positives=5,
        folds=3,
        resamples=50,
    )
    said = "\n".join(recalibrate(settings))
    assert "rare: 0 patients, as it was: too few patients" in said
    loaded = load_classifier(tmp_path / "after")
    about = loaded.about["recalibration"]
    assert about["recordings"] == 96
    assert loaded.about["settings"] == {"min_leads": 4}
    assert loaded.thresholds["rare"] == 0.7
    changed = [name for name, part in about["classes"].items() if part["method"] == "platt"]
    assert changed
    corpus = Corpus(simulated_shards)
    data = Split(corpus, np.arange(len(corpus)), PREPROCESS)
    old, new = (
        score_recordings(
            load_classifier(folder).classifier, data, LoaderOptions(32, 4), accelerator=accelerator
        ).probabilities
        for folder in (saved, tmp_path / "after")
    )
    for column, name in enumerate(("sinus", "LBBB", "rare")):
        part = loaded.classifier.architecture.calibration[column]
        odds = np.log(old[:, column] / (1 - old[:, column]))
        np.testing.assert_allclose(
            new[:, column], expit(part.slope * odds + part.intercept), atol=1e-6
        )
        if name in changed:  # a line with an intercept makes the mean that of its targets
            measures = about["classes"][name]
            assert {"brier", "calibration_error", "sensitivity", "specificity"} <= set(measures)
            with_class = np.array([name in (each or ()) for each in corpus.labels("class")])
            assert abs(new[:, column].mean() - with_class.mean()) < 0.02
    with pytest.raises(InputError, match="overwrite=true"):
        list(recalibrate(settings))


def test_labels_that_are_no_classes_of_the_model_are_refused(
    saved: Path, simulated_shards: Path, tmp_path: Path
) -> None:
    wrong = RecalibrateSettings(
        model=str(saved), data=simulated_shards, label_set="class", output=tmp_path / "x"
    )
    with pytest.raises(InputError, match="labels_as: AFIB; expected classes of the model: sinus"):
        list(recalibrate(wrong.model_copy(update={"labels_as": {"AFIB": "AF"}})))
    with pytest.raises(InputError, match="lower min_positives"):
        list(recalibrate(wrong.model_copy(update={"min_positives": 40})))

"""What is found by hiding is what a classifier of known rule rests on; the test tells it apart."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from finetune.classifiers.classifier import Architecture, Classifier
from finetune.evaluation.occlusion import (
    MOST_CLASSES,
    Occluded,
    choose_recordings,
    deletion_tests,
    lead_shares,
    mean_interval,
    occlude,
    replaced,
)
from finetune.networks.outputs import Outputs
from finetune.networks.settings import CnnAttentionBilstmSettings, LasanSettings
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.model.recorded import Recorded
from shards.simulator.signals import simulate_signals

RATE, SECONDS = 100, 5.0
V2 = LEADS.index("V2")


class EnergyOf(nn.Module):
    """Logits by the energy of one lead in one span, or of nothing at all."""

    def __init__(self, lead: int, span: tuple[int, int]) -> None:
        super().__init__()
        self.lead, self.span = lead, span

    def forward(self, signal: Tensor, recorded: Recorded) -> Outputs:
        start, stop = self.span
        energy = signal[:, self.lead, start:stop].square().sum(dim=1)
        return Outputs(torch.stack([energy, torch.zeros_like(energy)], dim=1))


def classifier(*, multi_label: bool = True) -> Classifier:
    architecture = Architecture(
        mode="cnn_attention_bilstm",
        classes=("A", "B"),
        multi_label=multi_label,
        preprocess=Preprocessor(sampling_rate=RATE, duration_s=SECONDS),
        pooling="lead_mean",
        encoder=None,
        lasan=LasanSettings(),
        cnn_attention_bilstm=CnnAttentionBilstmSettings(),
    )
    return Classifier(EnergyOf(V2, (200, 250)), architecture)


def prepared(samples: int = 500) -> Prepared:
    signal = np.random.default_rng(0).standard_normal((12, 500)).astype(np.float32)
    signal[:, samples:] = 0
    one = np.ones(12, dtype=np.float32)
    present = np.arange(12) != 11
    signal[11] = 0
    return Prepared(signal, present, 0 * one, one, samples)


def find(
    column: int, *, multi_label: bool = True, samples: int = 500
) -> tuple[np.ndarray, float, float]:
    return occlude(
        classifier(multi_label=multi_label),
        prepared(samples),
        column=column,
        device=torch.device("cpu"),
        generator=np.random.default_rng(0),
    )


@pytest.mark.parametrize("multi_label", [True, False])
def test_the_part_that_decides_is_the_one_that_is_missed(multi_label: bool) -> None:
    fall, deleted, random = find(0, multi_label=multi_label)
    lead, part = divmod(int(np.nanargmax(fall)), fall.shape[1])
    assert (lead, part) == (V2, 4)  # 2.0 to 2.5 s
    others = np.delete(fall.ravel(), V2 * 10 + 4)
    np.testing.assert_allclose(others[np.isfinite(others)], 0, atol=1e-5)
    assert deleted == pytest.approx(fall[V2, 4], rel=1e-4)
    assert random < deleted / 2


def test_a_class_that_rests_on_nothing_loses_nothing() -> None:
    fall, deleted, random = find(1)
    assert np.nanmax(np.abs(fall)) == 0 and deleted == 0 and random == 0


def test_what_was_not_recorded_is_not_asked_about() -> None:
    fall, _, _ = find(0, samples=300)
    assert np.isnan(fall[11]).all() and np.isnan(fall[:, 6:]).all()
    assert np.isfinite(fall[:11, :6]).all()


def test_a_part_is_replaced_by_a_line_and_a_whole_lead_by_zeros() -> None:
    signal = np.array([[1, 9, 9, 4, 0], [5, 5, 5, 5, 5]], dtype=np.float32)
    mask = np.array([[0, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=bool)
    np.testing.assert_allclose(replaced(signal, mask), [[1, 2, 3, 4, 0], [0, 0, 0, 0, 0]])


def test_recordings_have_the_class_are_called_it_and_are_of_different_patients() -> None:
    generator = np.random.default_rng(0)
    labels, called = generator.random((80, 9)) < 0.5, generator.random((80, 9)) < 0.5
    patients = [f"p{number // 4}" for number in range(80)]
    chosen = choose_recordings(labels, called, patients, most=5, generator=generator)
    columns = [column for _, column in chosen]
    frequent = np.argsort(-labels.sum(axis=0), kind="stable")[:MOST_CLASSES]
    assert list(dict.fromkeys(columns)) == frequent.tolist()
    for column in frequent:
        own = [record for record, other in chosen if other == column]
        assert len(own) == 5 and len({patients[record] for record in own}) == 5
        assert labels[own, column].all() and called[own, column].all()


def occluded(deleted: Sequence[float], random: Sequence[float]) -> list[Occluded]:
    fall = np.array([[3.0, np.nan], [1.0, -5.0]])
    return [Occluded(i, 2, fall, *pair) for i, pair in enumerate(zip(deleted, random, strict=True))]


def test_the_interval_of_the_difference_is_that_of_a_paired_t_test() -> None:
    deleted, random = np.random.default_rng(1).normal([[1.0], [0.4]], 0.3, (2, 9))
    test = deletion_tests(occluded(deleted.tolist(), random.tolist()))[2]
    known = stats.ttest_rel(deleted, random).confidence_interval(0.95)
    assert test.records == 9
    np.testing.assert_allclose(test.difference[1:], [known.low, known.high])
    assert np.isnan(mean_interval(np.array([1.0])).low)


def test_the_share_of_a_lead_counts_falls_alone() -> None:
    np.testing.assert_allclose(lead_shares(occluded([1, 1], [0, 0]), 2), [0.75, 0.25])


class FittedToMoments(nn.Module):
    """A logistic regression on the mean of each lead's rises and of its falls."""

    def __init__(self, signals: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        fit = LogisticRegression(C=1e4, max_iter=5000)
        fit.fit(self.moments(torch.from_numpy(signals)).numpy(), labels)
        self.weight = torch.from_numpy(fit.coef_[0]).float()

    def moments(self, signal: Tensor) -> Tensor:
        return torch.cat([signal.relu().mean(dim=2), (-signal).relu().mean(dim=2)], dim=1)

    def forward(self, signal: Tensor, recorded: Recorded) -> Outputs:
        score = self.moments(signal) @ self.weight
        return Outputs(torch.stack([score, torch.zeros_like(score)], dim=1))


@pytest.mark.parametrize("disease", ["ARVC", "BRUGADA"])
def test_of_simulated_right_precordial_disease_v1_to_v3_are_found(disease: str) -> None:
    found = simulate_signals(
        ["sinus", disease] * 60,
        generator=np.random.default_rng(0),
        sampling_rate=RATE,
        duration_s=SECONDS,
    )
    rows = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    signals, labels = found.signal_mv[:, rows], np.arange(120) % 2 == 1
    architecture = classifier().architecture.model_copy(
        update={"preprocess": Preprocessor(leads=8, sampling_rate=RATE, duration_s=SECONDS)}
    )
    fitted = Classifier(FittedToMoments(signals[:80], labels[:80]), architecture)
    one = np.ones(8, dtype=np.float32)
    evidence = [
        Occluded(
            record,
            0,
            *occlude(
                fitted,
                Prepared(signals[record], one > 0, 0 * one, one, signals.shape[2]),
                column=0,
                device=torch.device("cpu"),
                generator=np.random.default_rng(record),
            ),
        )
        for record in range(81, 97, 2)
    ]
    shares = dict(zip(INDEPENDENT_LEADS, lead_shares(evidence, 0), strict=True))
    assert shares["V1"] + shares["V2"] + shares["V3"] > 0.7, shares
    assert deletion_tests(evidence)[0].difference.low > 0

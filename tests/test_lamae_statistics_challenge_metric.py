from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamae.errors import InputError
from lamae.statistics.challenge_metric import (
    EQUIVALENT_2020,
    SINUS_RHYTHM,
    ChallengeWeights,
    challenge_score,
    challenge_scores,
    read_challenge_weights,
    scored_decisions,
    scored_labels,
    weighted_challenge_score,
)
from lamae.statistics.measure_intervals import measure_intervals

AF, LBBB, PVC = "164889003", "164909002", "427172004"


class Drawn(NamedTuple):
    """Random labels and decisions on five classes, and weights."""

    labels: np.ndarray
    decisions: np.ndarray
    table: ChallengeWeights


def _draw(seed: int, *, records: int = 25) -> Drawn:
    """Draw records of 0 to 5 labels and decisions; some classes never occur."""
    generator = np.random.default_rng(seed)
    frequency = generator.random((2, 1, 5)) * (generator.random((2, 1, 5)) < 0.8)
    labels, decisions = generator.random((2, records, 5)) < frequency
    values = np.round(generator.random((5, 5)), 2)
    np.fill_diagonal(values, 1.0)
    classes = tuple(frozenset({code}) for code in ("a", "b", SINUS_RHYTHM, "c", "d"))
    return Drawn(labels, decisions, ChallengeWeights(classes, values))


def _total_as_the_rule_is_written(drawn: Drawn, outputs: np.ndarray) -> float:
    """Return t as in equation form: record by record, label by label, output by output."""
    total = 0.0
    for given_labels, given_outputs in zip(drawn.labels, outputs, strict=True):
        x = {j for j in range(5) if given_labels[j]}
        y = {k for k in range(5) if given_outputs[k]}
        for j in x:
            for k in y:
                total += drawn.table.values[j, k] * 1.0 / max(len(x | y), 1)
    return total


def _score_as_the_rule_is_written(drawn: Drawn) -> float:
    observed = _total_as_the_rule_is_written(drawn, drawn.decisions)
    correct = _total_as_the_rule_is_written(drawn, drawn.labels)
    always_sinus = [[k == 2 for k in range(5)] for _ in drawn.labels]
    inactive = _total_as_the_rule_is_written(drawn, np.array(always_sinus))
    return (observed - inactive) / (correct - inactive) if correct != inactive else 0.0


def _means_as_the_rules_are_written(
    drawn: Drawn, *, beta: float, normalised: bool
) -> tuple[float, float]:
    """Return macro F-beta and G-beta by counting one record and class after the other."""
    f_values, g_values = [], []
    for k in range(5):
        tp = fp = fn = 0.0
        for x, y in zip(drawn.labels.tolist(), drawn.decisions.tolist(), strict=True):
            share = 1 / max(x.count(True), 1) if normalised else 1.0
            tp += share if x[k] and y[k] else 0
            fp += share if not x[k] and y[k] else 0
            fn += share if x[k] and not y[k] else 0
        if tp + fp + fn > 0:
            f_values.append((1 + beta**2) * tp / ((1 + beta**2) * tp + fp + beta**2 * fn))
            g_values.append(tp / (tp + fp + beta * fn))
    if not f_values:
        return float("nan"), float("nan")
    return sum(f_values) / len(f_values), sum(g_values) / len(g_values)


@given(st.integers(0, 10_000))
def test_scores_are_those_of_the_rules_as_they_are_written(seed: int) -> None:
    drawn = _draw(seed)
    scores = challenge_scores(*drawn)
    assert scores.score == pytest.approx(_score_as_the_rule_is_written(drawn))
    f1, _ = _means_as_the_rules_are_written(drawn, beta=1, normalised=False)
    f2, g2 = _means_as_the_rules_are_written(drawn, beta=2, normalised=True)
    assert scores.f_measure == pytest.approx(f1, nan_ok=True)
    assert scores.f_beta == pytest.approx(f2, nan_ok=True)
    assert scores.g_beta == pytest.approx(g2, nan_ok=True)
    right = [x == y for x, y in zip(drawn.labels.tolist(), drawn.decisions.tolist(), strict=True)]
    assert scores.accuracy == pytest.approx(right.count(True) / len(right))


def test_a_hand_computed_score() -> None:
    classes = (frozenset({SINUS_RHYTHM}), frozenset({AF}), frozenset({LBBB}))
    values = np.array([[1, 0.4, 0.2], [0.4, 1, 0.5], [0.2, 0.5, 1]])
    labels = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 0]], dtype=bool)
    decisions = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=bool)
    table = ChallengeWeights(classes, values)
    observed = 1 + (1 + 0.5) / 2 + 0.5 / 2
    correct = 1 + (1 + 0.5 + 0.5 + 1) / 2 + 1
    inactive = 1 + (0.4 + 0.2) / 3 + 0.4 / 2
    expected_score = (observed - inactive) / (correct - inactive)
    assert challenge_score(labels, decisions, table) == pytest.approx(expected_score)


def test_all_labels_score_one_and_sinus_rhythm_alone_scores_nothing() -> None:
    drawn = _draw(3)
    inactive = np.zeros_like(drawn.labels)
    inactive[:, 2] = True
    assert challenge_score(drawn.labels, drawn.labels, drawn.table) == pytest.approx(1)
    assert challenge_score(drawn.labels, inactive, drawn.table) == pytest.approx(0)
    assert challenge_score(inactive, drawn.decisions, drawn.table) == 0  # nothing to gain


def test_a_class_that_is_only_called_wrongly_counts_as_zero_in_the_challenges_f_measure() -> None:
    table = _draw(0).table
    labels = np.zeros((2, 5), dtype=bool)
    labels[:, 0] = True
    decisions = labels.copy()
    assert challenge_scores(labels, decisions, table).f_measure == 1
    decisions[0, 1] = True
    assert challenge_scores(labels, decisions, table).f_measure == 0.5


def test_a_record_weight_is_the_number_of_its_copies() -> None:
    drawn = _draw(5)
    weights = np.random.default_rng(0).integers(0, 4, (6, 25))
    weighted = weighted_challenge_score(*drawn, weights)
    for score, weight in zip(weighted, weights, strict=True):
        copies = np.repeat(np.arange(25), weight)
        copied = Drawn(drawn.labels[copies], drawn.decisions[copies], drawn.table)
        assert score == pytest.approx(_score_as_the_rule_is_written(copied))


def test_the_score_has_an_interval_over_patients() -> None:
    drawn = _draw(8, records=60)
    patients = [f"p{number // 2}" for number in range(60)]
    one_better = np.where(np.arange(60)[:, None] < 20, drawn.labels, drawn.decisions)
    statistics = {
        name: partial(_score_column, Drawn(drawn.labels, decisions, drawn.table))
        for name, decisions in (("better", one_better), ("given", drawn.decisions))
    }
    found = measure_intervals(
        statistics,
        drawn.labels,
        patients,
        measures=["score"],
        classes=[*"abcde"],
        generator=np.random.default_rng(0),
        highest=1.0,
    )
    assert found.models["given"]["score"].estimate == pytest.approx(challenge_score(*drawn))
    assert found.differences["given"]["score"].low > 0


def _score_column(drawn: Drawn, weights: np.ndarray) -> np.ndarray:
    return weighted_challenge_score(*drawn, weights)[:, None]


def _write(path: Path, names: list[str], values: np.ndarray) -> Path:
    lines = [",".join(["", *names])]
    lines += [",".join([n, *map(str, row)]) for n, row in zip(names, values, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_file_of_2021_joins_equivalent_classes_by_a_bar(tmp_path: Path) -> None:
    values = np.array([[1, 0.3, 0.2], [0.3, 1, 0.25], [0.1, 0.5, 1]])
    names = [AF, "733534002|164909002", SINUS_RHYTHM]
    table = read_challenge_weights(_write(tmp_path / "weights.csv", names, values))
    assert [*map(set, table.classes)] == [{AF}, {"733534002", LBBB}, {SINUS_RHYTHM}]
    np.testing.assert_array_equal(table.values, values)
    codes = [[LBBB, "55827005"], ["733534002", SINUS_RHYTHM], [], [AF]]
    expected = [[0, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert scored_labels(codes, table).astype(int).tolist() == expected


def test_the_file_of_2020_gives_equivalent_classes_a_row_each(tmp_path: Path) -> None:
    names = [AF, "17338001", SINUS_RHYTHM, PVC]
    values = np.array([[1, 0.3, 0.2, 0.3], [0.4, 1, 0.5, 1], [0.1, 0.6, 1, 0.6], [0.4, 1, 0.5, 1]])
    path = _write(tmp_path / "weights.csv", names, values)
    table = read_challenge_weights(path, equivalent=EQUIVALENT_2020)
    assert [*map(set, table.classes)] == [{AF}, {"17338001", PVC}, {SINUS_RHYTHM}]
    np.testing.assert_array_equal(table.values, values[:3, :3])
    values[3, 0] = 0.45
    path = _write(tmp_path / "weights.csv", names, values)
    with pytest.raises(InputError, match=f"equivalent.*{PVC}"):
        read_challenge_weights(path, equivalent=EQUIVALENT_2020)


def test_outputs_of_equivalent_columns_are_joined_and_missing_ones_are_negative() -> None:
    classes = (frozenset({"733534002", LBBB}), frozenset({AF}), frozenset({SINUS_RHYTHM}))
    table = ChallengeWeights(classes, np.eye(3))
    columns = [SINUS_RHYTHM, "733534002", "unscored", LBBB]
    decisions = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1]], dtype=bool)
    expected = [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert scored_decisions(decisions, columns, table).astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "other classes"),
        ("<html>", "other classes"),
        (",a,b\na,1,0\n", "other classes"),
        (",a,b\nb,1,0\na,0,1\n", "other classes"),
        (",a,b\na,1\nb,0,1\n", "inhomogeneous"),
        (",a,b\na,1,x\nb,0,1\n", "'x'"),
        (",a,b\na,1,nan\nb,0,1\n", "not finite"),
        (",a,a|b\na,1,0\na|b,0,1\n", "a code in two rows"),
    ],
)
def test_tables_that_are_no_weights_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "weights.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_challenge_weights(path)


def test_a_missing_file_sinus_rhythm_or_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights\.csv"):
        read_challenge_weights(tmp_path / "weights.csv")
    drawn = _draw(0)
    with pytest.raises(InputError, match="scored classes"):
        challenge_scores(drawn.labels[:, :4], drawn.decisions[:, :4], drawn.table)
    without = ChallengeWeights(tuple(frozenset({c}) for c in "abcde"), drawn.table.values)
    with pytest.raises(InputError, match=SINUS_RHYTHM):
        challenge_score(drawn.labels, drawn.decisions, without)


def test_codes_of_real_headers_fall_into_scored_classes(shared_data: Path) -> None:
    table = ChallengeWeights(
        (frozenset({SINUS_RHYTHM}), frozenset({AF}), frozenset({"284470004", "63593006"})),
        np.eye(3),
    )
    headers = sorted((shared_data / "challenge2021").rglob("*.hea"))
    codes = []
    for header in headers:
        (line,) = (line for line in header.read_text().splitlines() if line.startswith("#Dx"))
        codes.append([code.strip() for code in line.split(":")[1].split(",")])
    text = [",".join(found) for found in codes]
    expected = [
        sum(SINUS_RHYTHM in line for line in text),
        sum(AF in line for line in text),
        sum("284470004" in line or "63593006" in line for line in text),
    ]
    assert len(headers) > 50 and min(expected) > 0
    assert scored_labels(codes, table).sum(axis=0).tolist() == expected

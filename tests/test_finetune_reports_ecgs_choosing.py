"""Examples are what their rules say, and each tells of something else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.reports.ecgs.choosing import borderline, surest_correct, surest_errors
from finetune.reports.ecgs.section import example_section
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.storage.corpus import Corpus


def test_the_farthest_from_the_truth_comes_first_called_and_missed_in_turn() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0], [1, 1]], dtype=bool)
    probabilities = np.array([[0.3, 0.1], [0.1, 0.2], [0.6, 0.9], [0.2, 0.95], [0.9, 0.4]])
    called = probabilities >= 0.5
    found = surest_errors(labels, probabilities, called, most=9)
    # record 3 is called class 1 at 0.95; record 1 lacks class 0 at 0.1; record 2 is called class 0
    # at 0.6; record 4 lacks class 1 at 0.4; of class 0, record 0 is missed less surely than 1.
    assert [tuple(error) for error in found] == [(3, 1), (1, 0), (2, 0), (4, 1)]
    assert surest_errors(labels, probabilities, called, most=2) == found[:2]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 8), st.floats(0, 1))
def test_every_example_is_wrong_and_no_recording_or_kind_comes_twice(
    seed: int, most: int, cut: float
) -> None:
    generator = np.random.default_rng(seed)
    labels, probabilities = generator.random((12, 4)) < 0.4, generator.random((12, 4))
    called = probabilities >= cut
    found = surest_errors(labels, probabilities, called, most=most)
    assert len(found) <= most
    assert all(called[place] != labels[place] for place in found)
    assert len({error.record for error in found}) == len(found)
    assert len({(error.column, bool(called[error])) for error in found}) == len(found)
    if most:
        assert bool(found) == bool((called != labels).any())


def test_a_class_without_a_threshold_takes_no_place() -> None:
    labels = np.array([[1, 0], [0, 1], [0, 0]], dtype=bool)
    probabilities = np.array([[0.0, 0.1], [0.2, 0.3], [0.1, 0.6]])
    called = (probabilities >= 0.5) & [False, True]
    every = surest_errors(labels, probabilities, called, most=9)
    assert [tuple(error) for error in every] == [(2, 1), (0, 0), (1, 1)]
    found = surest_errors(labels, probabilities, called, most=9, decided=np.array([False, True]))
    assert [tuple(error) for error in found] == [(2, 1), (1, 1)]


def test_a_right_classifier_has_no_examples() -> None:
    labels = np.eye(3, dtype=bool)
    assert surest_errors(labels, labels.astype(float), labels, most=4) == []


def test_the_likeliest_of_each_class_is_shown_where_all_is_right() -> None:
    labels = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, 0]], dtype=bool)
    probabilities = np.array([[0.8, 0.1], [0.9, 0.7], [0.7, 0.6], [0.2, 0.9], [0.1, 0.1]])
    called = probabilities >= 0.5
    found = surest_correct(labels, probabilities, called, most=4)
    # Record 1 is wrongly called class 1; class 0 is the most frequent.
    assert [tuple(one) for one in found] == [(0, 0), (3, 1)]


def test_the_nearest_to_the_cut_is_borderline() -> None:
    labels = np.array([[1, 0], [0, 0], [1, 1], [1, 1]], dtype=bool)
    probabilities = np.array([[0.9, 0.1], [0.35, 0.2], [0.5, 0.95], [0.7, 0.9]])
    called = np.array([[1, 0], [0, 0], [1, 1], [1, 1]], dtype=bool)
    found = borderline(labels, probabilities, called, most=4, multi_label=True)
    # Of class 0 the cut lies between 0.35 and 0.5, of class 1 between 0.2 and 0.9; both ends are
    # as near, and the first recording is taken.
    assert [tuple(one) for one in found] == [(1, 0), (3, 1)]


def test_with_one_label_the_smallest_lead_over_the_second_is_borderline() -> None:
    probabilities = np.array([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05], [0.2, 0.7, 0.1]])
    called = np.eye(3, dtype=bool)[probabilities.argmax(axis=1)]
    found = borderline(called, probabilities, called, most=4, multi_label=False)
    assert [tuple(one) for one in found] == [(0, 0), (2, 1)]


def test_the_section_names_record_truth_answer_and_probability(corpus: Corpus) -> None:
    rows = corpus.rows("val")[:3]
    data = Split(corpus, rows, Preprocessor(sampling_rate=100, duration_s=5.0))
    labels = np.array([[1, 0], [0, 1], [0, 1]], dtype=bool)
    probabilities = np.array([[0.9, 0.1], [0.75, 0.125], [0.2, 0.8]])
    section = example_section(
        data, labels, probabilities, probabilities >= 0.5, classes=("AF", "LBBB"), most=4
    )
    key = str(corpus.keys[rows[1]])
    (table,) = section.tables
    assert "left out" not in " ".join(section.text)
    no_af = np.array([False, True])
    less = example_section(
        data, labels, probabilities, labels & no_af, classes=("AF", "LBBB"), most=4, decided=no_af
    )
    assert not any("wrong" in figure.name for figure in less.figures)
    assert "without a threshold" in " ".join(less.text)
    # LBBB is missed even more surely, in the same recording: what is called comes first.
    assert list(table.rows[0]) == [key, "wrong", "AF", "called", 0.75, "LBBB", "AF"]
    sorts = [row[1] for row in table.rows]
    assert sorts.count("wrong") == 1 and sorts.count("correct") == 2
    figure = section.figures[0]
    assert all(text in figure.caption for text in (key, "AF called", "0.750", "True: LBBB"))
    paper = figure.figure.axes[0]
    assert len([line for line in paper.lines if line.get_label() == "recorded"]) == 13
    said = " ".join(text.get_text() for text in paper.texts)
    assert key in said and "Rate" in said

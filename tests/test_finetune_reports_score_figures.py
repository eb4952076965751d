"""Figures draw what scikit-learn computes, and no more classes than there is room for."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from finetune.reports.score_figures import (
    MOST_CELLS,
    confusion_figure,
    curve_counts,
    gathered,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
    shortened,
)
from lamae.figures.plots import as_svg

NAMES = {"MI": 1, "NORM": 0}


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(0).random((300, 2)) < (0.5, 0.2)


@pytest.fixture(scope="module")
def scores(labels: np.ndarray) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    shown = [np.round(0.3 * labels + 0.7 * generator.random(labels.shape), 2) for _ in range(2)]
    return {"pretrained": shown[0], "random weights": shown[1]}


def curves(figure: Figure, panel: int) -> list[np.ndarray]:
    """Return the curves of a panel without the line behind them, each (points, 2)."""
    return [np.asarray(line.get_xydata()) for line in figure.axes[panel].lines[1:]]


def test_the_area_under_the_drawn_roc_curve_is_the_auroc(
    labels: np.ndarray, scores: dict[str, np.ndarray]
) -> None:
    figure = roc_figure(labels, scores, NAMES)
    for panel, (name, column) in enumerate(NAMES.items()):
        drawn = curves(figure, panel)
        assert len(drawn) == len(scores)
        for points, values in zip(drawn, scores.values(), strict=True):
            expected = roc_auc_score(labels[:, column], values[:, column])
            assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(expected)
        first = roc_auc_score(labels[:, column], scores["pretrained"][:, column])
        assert figure.axes[panel].get_title() == f"{name}\nAUROC {first:.3f}"


def test_the_area_under_the_drawn_steps_is_the_average_precision(
    labels: np.ndarray, scores: dict[str, np.ndarray]
) -> None:
    figure = precision_recall_figure(labels, scores, NAMES)
    for panel, column in enumerate(NAMES.values()):
        for points, values in zip(curves(figure, panel), scores.values(), strict=True):
            expected = average_precision_score(labels[:, column], values[:, column])
            assert np.sum(np.diff(points[:, 0]) * points[1:, 1]) == pytest.approx(expected)
        behind = figure.axes[panel].lines[0]
        assert np.asarray(behind.get_ydata())[0] == pytest.approx(labels[:, column].mean())
        assert {line.get_drawstyle() for line in figure.axes[panel].lines[1:]} == {"steps-pre"}


def test_reliability_points_hold_all_positives(
    labels: np.ndarray, scores: dict[str, np.ndarray]
) -> None:
    figure = reliability_figure(labels, scores, NAMES)
    for panel in range(2):
        for points in curves(figure, panel):
            assert ((points >= 0) & (points <= 1)).all() and (np.diff(points[:, 0]) > 0).all()
    truth = np.array([True, True, False, False])[:, None]
    known = {"perfect": truth * 0.5 + 0.25}
    (points,) = curves(reliability_figure(truth, known, {"MI": 0}), 0)
    assert points.tolist() == [[0.25, 0.0], [0.75, 1.0]]


def test_counts_begin_with_nothing_called_and_end_with_everything(labels: np.ndarray) -> None:
    score = np.random.default_rng(2).integers(0, 5, len(labels)).astype(float)
    false, true, threshold = curve_counts(labels[:, 0], score)
    assert threshold.tolist() == [np.inf, 4, 3, 2, 1, 0]
    for i, cut in enumerate(threshold):
        assert true[i] == (labels[:, 0] & (score >= cut)).sum()
        assert false[i] == (~labels[:, 0] & (score >= cut)).sum()


def test_the_confusion_figure_writes_the_counts_and_holds_no_picture() -> None:
    truth, called = np.random.default_rng(3).integers(0, 3, (2, 400))
    counts = confusion_matrix(truth, called)
    figure = confusion_figure(counts, ["a", "b", "c"])
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == [f"{number:,}" for number in counts.ravel()]
    assert "<image" not in as_svg(figure), "a page may not load pictures"


def test_many_classes_are_gathered_without_losing_a_recording() -> None:
    counts = np.random.default_rng(4).integers(0, 9, (71, 71))
    names = [f"c{i}" for i in range(71)]
    shown, kept = gathered(counts, names)
    assert shown.shape == (MOST_CELLS + 1, MOST_CELLS + 1) and kept[-1] == "others"
    assert shown.sum() == counts.sum()
    frequency = dict(zip(names, counts.sum(axis=1), strict=True))
    assert min(frequency[n] for n in kept[:-1]) >= max(
        value for name, value in frequency.items() if name not in kept
    )
    first, second = (names.index(name) for name in kept[:2])
    assert shown[0, 1] == counts[first, second]
    assert gathered(counts[:13, :13], names[:13])[1] == names[:13]


def test_no_label_of_twelve_panels_meets_another() -> None:
    generator = np.random.default_rng(5)
    labels = generator.random((200, 12)) < 0.5
    long = {f"class {i} with a name that is rather long": i for i in range(12)}
    scores = {name: generator.random((200, 12)) for name in ("pretrained", "random weights")}
    figure = roc_figure(labels, scores, long)
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    boxes += [
        tick.get_window_extent()
        for axes in figure.axes
        for tick in [*axes.get_xticklabels(), *axes.get_yticklabels()]
        if tick.get_visible() and tick.get_text()
    ]
    boxes += [text.get_window_extent() for text in figure.legends[0].get_texts()]
    met = [(i, j) for i, a in enumerate(boxes) for j, b in enumerate(boxes[:i]) if a.overlaps(b)]
    assert not met
    assert len(shortened(next(iter(long)))) <= 24

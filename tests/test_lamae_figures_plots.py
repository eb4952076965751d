"""Paper that is calibrated, and SVG that is small, self-contained and fit to share a page."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path as Outline
from scipy.signal import resample

from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.figures.plots import as_svg, ecg_paper, interval_plot, learning_curve, save_png

RATE = 100
MM = 1 / 25.4
"""Inches."""


def noise_mv(leads: int = 12, samples: int = 1000) -> np.ndarray:
    return 0.3 * np.random.default_rng(0).standard_normal((leads, samples))


def points(shape: Line2D | Outline) -> np.ndarray:
    found = shape.get_xydata() if isinstance(shape, Line2D) else shape.vertices
    return np.asarray(found, dtype=float)


def drawn_inches(figure: Figure, label: str) -> list[np.ndarray]:
    """Return each line with this label as (samples, 2) in inches on the figure."""
    axes = figure.axes[0]
    lines = [line for line in axes.lines if line.get_label() == label]
    return [axes.transData.transform(points(line)) / figure.dpi for line in lines]


def ids(svg: str) -> set[str]:
    return {e.get("id", "") for e in ElementTree.fromstring(svg).iter()} - {""}


@pytest.mark.parametrize("seconds", [2.5, 10.0, None])
def test_a_second_is_25_mm_and_a_millivolt_10_mm_on_the_figure(seconds: float | None) -> None:
    signal = np.zeros((2, 1200))
    signal[:, 200:] = 1.0
    figure = ecg_paper(signal, ["I", "II"], sampling_rate=RATE, title="step", seconds=seconds)
    for line in drawn_inches(figure, "recorded"):
        np.testing.assert_allclose(line[100, 0] - line[0, 0], 25 * MM)
        np.testing.assert_allclose(line[200, 1] - line[199, 1], 10 * MM)


def test_grid_lines_are_a_millimetre_apart_and_zero_lies_on_one_of_them() -> None:
    figure = ecg_paper(np.zeros((3, 250)), ["I", "II", "III"], sampling_rate=RATE)
    axes = figure.axes[0]
    fine = max((points(patch.get_path()) for patch in axes.patches), key=len)
    ends = axes.transData.transform(fine).reshape(-1, 2, 2) / figure.dpi
    across = ends[ends[:, 0, 1] == ends[:, 1, 1]][:, 0, 1]
    np.testing.assert_allclose(np.diff(across), 1 * MM)
    for line in drawn_inches(figure, "recorded"):
        assert np.abs(across - line[0, 1]).min() < 1e-9


def test_rows_make_room_for_their_lead_so_that_traces_do_not_meet() -> None:
    signal = np.repeat([[2.4], [-2.4], [2.4]], RATE, axis=1)
    signal[:, 0] = 0
    figure = ecg_paper(signal, ["V1", "V2", "V3"], sampling_rate=RATE)
    first, second, third = drawn_inches(figure, "recorded")
    assert first[:, 1].min() > second[:, 1].max()
    assert second[:, 1].min() > third[:, 1].min()
    assert third[:, 1].max() < second[:, 1].min()


def test_missing_samples_leave_a_gap() -> None:
    signal = noise_mv(1, 300)
    signal[0, 100:120] = np.nan
    (line,) = drawn_inches(ecg_paper(signal, ["V1"], sampling_rate=RATE), "recorded")
    np.testing.assert_array_equal(np.isnan(line[:, 1]), np.isnan(signal[0]))


def test_a_lead_without_any_sample_keeps_its_row() -> None:
    figure = ecg_paper(np.full((2, 100), np.nan), ["I", "II"], sampling_rate=RATE)
    assert {"I", "II"} <= {text.get_text() for text in figure.axes[0].texts}


def test_the_reconstruction_is_drawn_only_where_samples_were_hidden() -> None:
    signal = noise_mv(2, 300)
    hidden = np.zeros(signal.shape, dtype=bool)
    hidden[0, 50:150] = True
    figure = ecg_paper(
        signal, ["I", "II"], sampling_rate=RATE, reconstruction_mv=signal + 0.1, hidden=hidden
    )
    lines = drawn_inches(figure, "reconstructed")
    np.testing.assert_array_equal(~np.isnan([line[:, 1] for line in lines]), hidden)
    recorded = drawn_inches(figure, "recorded")
    np.testing.assert_allclose((lines[0] - recorded[0])[50:150, 1], 1 * MM)


def test_the_shade_covers_the_hidden_samples_and_no_others() -> None:
    hidden = np.random.default_rng(1).random((1, 40)).repeat(10, axis=1) < 0.5
    figure = ecg_paper(noise_mv(1, 400), ["I"], sampling_rate=RATE, hidden=hidden)
    axes = figure.axes[0]
    (shade,) = [patch for patch in axes.patches if str(patch.get_label()).startswith("hidden")]
    trace_mm = points(axes.lines[0])
    middle_mm = (trace_mm[0, 0] + trace_mm[1, 0]) / 2 - trace_mm[0, 0] + trace_mm[:, 0]
    inside = [shade.get_path().contains_point((x, trace_mm[0, 1])) for x in middle_mm]
    np.testing.assert_array_equal(inside, hidden[0])


def test_nothing_hidden_is_drawn_like_any_other_mask() -> None:
    signal = noise_mv(1, 100)
    none = np.zeros(signal.shape, dtype=bool)
    svg = as_svg(ecg_paper(signal, ["I"], sampling_rate=RATE, hidden=none))
    assert "recorded" in svg


def test_names_must_match_the_rows() -> None:
    with pytest.raises(InputError, match="2 names for a signal of shape"):
        ecg_paper(noise_mv(3), ["I", "II"], sampling_rate=RATE)


def test_an_empty_signal_is_refused() -> None:
    with pytest.raises(InputError, match="at least one lead and one sample"):
        ecg_paper(np.zeros((1, 0)), ["I"], sampling_rate=RATE)


@pytest.mark.parametrize(("rate", "bandwidth_hz"), [(100, 50), (500, 20)])
def test_twelve_leads_with_overlay_stay_below_600_kilobytes(rate: int, bandwidth_hz: int) -> None:
    signal = resample(noise_mv(samples=20 * bandwidth_hz), 10 * rate, axis=1)
    hidden = np.random.default_rng(1).random((12, 40)).repeat(rate // 4, axis=1) < 0.75
    figure = ecg_paper(
        signal, LEADS, sampling_rate=rate, reconstruction_mv=0.9 * signal, hidden=hidden
    )
    assert len(as_svg(figure)) < 600_000


def test_svg_is_well_formed_deterministic_and_refers_to_nothing_outside() -> None:
    first, second = (
        as_svg(ecg_paper(noise_mv(2), ["I", "II"], sampling_rate=RATE, title="a <b> & $c$ --> d"))
        for _ in range(2)
    )
    assert first == second
    root = ElementTree.fromstring(first)
    assert root.get("role") == "img"
    assert "".join(root.itertext()).count("a <b> & $c$ --> d") == 1
    namespaces = re.findall(r'xmlns(?::\w+)?="[^"]*"', first)
    assert "://" not in re.sub("|".join(map(re.escape, namespaces)), "", first)


def test_two_svgs_share_no_id_and_their_references_resolve() -> None:
    one, two = (as_svg(ecg_paper(noise_mv(n), LEADS[:n], sampling_rate=RATE)) for n in (1, 2))
    assert ids(one)
    assert not ids(one) & ids(two)
    for svg in (one, two):
        used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg))
        assert used
        assert {a or b for a, b in used} <= ids(svg)


def test_a_learning_curve_has_each_series_at_the_steps_that_hold_it() -> None:
    rows: list[dict[str, float | None]]
    rows = [{"step": i, "train/loss": 1 / i} for i in range(1, 101)]
    rows += [{"step": 50, "val/loss": 0.5, "val/auroc_macro": 0.8}, {"step": 100, "val/loss": None}]
    training, validation = learning_curve(rows).axes[0].lines
    np.testing.assert_allclose(points(training), [(float(i), 1 / i) for i in range(1, 101)])
    np.testing.assert_allclose(points(validation), [(50.0, 0.5)])


def test_a_curve_without_a_point_is_refused() -> None:
    with pytest.raises(InputError, match="1 rows without val/loss"):
        learning_curve([{"step": 1, "train/loss": 1.0}], series={"val/loss": "validation"})


def test_an_interval_is_drawn_from_low_to_high_and_a_missing_one_is_not() -> None:
    nan = float("nan")
    rows = [
        ("macro", {"a": (0.8, 0.7, 0.85), "b": (0.6, 0.5, 0.7)}),
        ("MI", {"a": (0.9, 0.8, 0.95), "b": (nan, nan, nan)}),
    ]
    figure = interval_plot(rows, xlabel="AUROC")
    spans = [
        [tuple(points(path)[:, 0]) for path in collection.get_paths()]
        for collection in figure.axes[0].collections
    ]
    assert spans[0] == [(0.7, 0.85), (0.8, 0.95)]
    assert spans[1][0] == (0.5, 0.7)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["macro", "MI"]
    assert "nan" not in as_svg(figure).lower().replace("'", "")


def test_the_png_has_the_size_of_the_paper(tmp_path: Path) -> None:
    figure = ecg_paper(noise_mv(1, 250), ["I"], sampling_rate=RATE)
    save_png(figure, tmp_path / "ecg.png", dots_per_inch=100)
    header = (tmp_path / "ecg.png").read_bytes()[:24]
    assert header[:4] == b"\x89PNG"
    width = int.from_bytes(header[16:20], "big")
    assert abs(width - (25 + 62.5 + 5) * MM * 100) <= 1
    assert list(tmp_path.iterdir()) == [tmp_path / "ecg.png"]

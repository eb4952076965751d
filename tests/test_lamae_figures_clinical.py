"""The clinical layout is calibrated, and says what is computed, absent, cut off or unknown."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.measurements import Measurements
from lamae.errors import InputError
from lamae.figures.clinical import Shading, clinical_ecg, measured_line
from lamae.figures.plots import COLOURS

RATE = 100
MM = 1 / 25.4
"""Inches."""


def traces(figure: Figure) -> list[np.ndarray]:
    """Return each trace as (samples, 2) in inches on the figure, in the order of drawing."""
    axes = figure.axes[0]
    lines = [line for line in axes.lines if line.get_label() == "recorded"]
    return [axes.transData.transform(line.get_xydata()) / figure.dpi for line in lines]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_second_is_25_mm_and_a_millivolt_10_mm() -> None:
    signal = np.zeros((12, 1000))
    signal[:, ::2] = 1.0
    drawn = traces(clinical_ecg(signal, LEADS, sampling_rate=RATE))
    assert [len(one) for one in drawn] == [250] * 12 + [1000]
    for one in drawn:
        np.testing.assert_allclose(one[100, 0] - one[0, 0], 25 * MM)
        np.testing.assert_allclose(one[0, 1] - one[1, 1], 10 * MM)


def test_the_columns_follow_each_other_in_time() -> None:
    signal = np.tile(np.repeat(np.arange(10) / 10, RATE), (12, 1))
    drawn = traces(clinical_ecg(signal, LEADS, sampling_rate=RATE))
    strip = drawn[-1]
    for number, one in enumerate(drawn[:-1]):
        start = 250 * (number // 3)
        np.testing.assert_allclose(one[:, 0], strip[start : start + 250, 0])
        shape = strip[start : start + 250, 1]
        np.testing.assert_allclose(one[:, 1] - one[0, 1], shape - shape[0], atol=1e-9)


def test_limb_leads_are_computed_and_marked_and_an_absent_lead_is_named() -> None:
    signal = 0.1 * np.random.default_rng(0).standard_normal((7, 1000))
    figure = clinical_ecg(signal, INDEPENDENT_LEADS[:7], sampling_rate=RATE)
    said = texts(figure)
    assert said.count("computed") == 4 and said.count("not recorded") == 1
    assert said[said.index("V6") + 1] == "not recorded"
    assert len(traces(figure)) == 12
    third = traces(figure)[2]
    truth = (signal[1] - signal[0])[:250]
    np.testing.assert_allclose(np.diff(third[:, 1]), 10 * MM * np.diff(truth), atol=1e-6)


def test_the_strip_below_is_of_the_lead_that_is_asked_for() -> None:
    signal = np.zeros((12, 1000))
    signal[LEADS.index("V4"), ::2] = 1.0
    strip = traces(clinical_ecg(signal, LEADS, sampling_rate=RATE, rhythm_lead="V4"))[-1]
    np.testing.assert_allclose(strip[0, 1] - strip[1, 1], 10 * MM)


def test_what_is_cut_off_is_said() -> None:
    signal = np.zeros((12, 1000))
    assert not any("cut" in text for text in texts(clinical_ecg(signal, LEADS, sampling_rate=RATE)))
    signal[3, 300] = 5.0
    assert any(
        "cut at 2 mV" in text for text in texts(clinical_ecg(signal, LEADS, sampling_rate=RATE))
    )


def test_parts_are_shaded_where_their_lead_is_drawn() -> None:
    strength = np.zeros((2, 10))
    strength[0, 6], strength[1, 0] = 1.0, 0.5  # of V1 the seventh second, drawn from 5 to 7.5 s
    shading = Shading(("V1", "V6"), strength, 1.0)
    figure = clinical_ecg(np.zeros((12, 1000)), LEADS, sampling_rate=RATE, shading=shading)
    shaded = [
        patch
        for patch in figure.axes[0].patches
        if isinstance(patch, Rectangle) and patch.get_facecolor()[:3] == to_rgb(COLOURS[1])
    ]
    (only,) = shaded  # V6 is drawn from 7.5 s on
    v1 = [line for line in figure.axes[0].lines if line.get_label() == "recorded"][6]
    x = np.asarray(v1.get_xdata())
    assert only.get_x() == pytest.approx(x[100]) and only.get_width() == pytest.approx(25)


def test_the_line_has_a_dash_for_what_is_not_known() -> None:
    line = measured_line(Measurements(72.4, None, 92.0, 380.0, 402.6, -30.0), age="63")
    assert "Age 63" in line and "Sex -" in line and "Rate 72/min" in line and "PR -" in line
    assert "QT ~380 ms" in line and "~403 ms" in line and "Axis \N{MINUS SIGN}30°" in line
    assert measured_line(None).count(" -") == 8


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(InputError, match="ECG to draw"):
        clinical_ecg(np.zeros((0, 10)), [], sampling_rate=RATE)

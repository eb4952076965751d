import warnings

import numpy as np
import pytest

import lamae
from lamae.ecg.amplitude import doubt_of_unit, median_amplitude_mv


def beats_mv(height_mv: float) -> np.ndarray:
    """Return ten seconds of two leads at 100 Hz, each second a peak of this height."""
    second = np.zeros(100)
    second[40:44] = height_mv
    return np.tile(second, (2, 10))


@pytest.mark.parametrize(
    ("factor", "word"),
    [(1000, "microvolts read as millivolts"), (0.001, "millivolts read as microvolts"),
     (10, "ten times smaller"), (0.1, "ten times larger")],
)  # fmt: skip
@pytest.mark.parametrize("height_mv", [0.5, 1.0, 2.2])
def test_a_usual_mistake_is_named_by_the_amplitude(
    height_mv: float, factor: float, word: str
) -> None:
    with pytest.warns(UserWarning, match=word):
        record = lamae.record_from(
            beats_mv(height_mv * factor), sampling_rate=100, leads=["I", "II"]
        )
    assert median_amplitude_mv(record) == pytest.approx(height_mv * factor, rel=1e-3)


@pytest.mark.parametrize("amplitude_mv", [0.25, 1.0, 3.0, 3.5, 60.0, float("nan"), 0.0])
def test_an_ordinary_amplitude_and_one_of_no_usual_mistake_raise_no_doubt(
    amplitude_mv: float,
) -> None:
    assert doubt_of_unit(amplitude_mv) is None


def test_the_right_unit_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lamae.record_from(beats_mv(1000.0), sampling_rate=100, leads=["I", "II"], unit="uV")

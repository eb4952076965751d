"""A stream says of each window what would be said of it as a recording, whatever the pieces."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamae.ecg.record import Record
from lamae.edge.streaming import StreamingClassifier
from lamae.errors import InputError, RecordError

RATE, WINDOW_S, HOP_S = 50, 2.0, 0.5


def describe(record: Record) -> dict[str, float]:
    """Stand for a classifier: numbers that no two windows share."""
    drawn = record.signal_mv()[:, [0, 7, -1]].ravel().astype(np.float64)
    return dict(zip("ABCDEF", drawn.tolist(), strict=True))


def header(digital: np.ndarray | None = None) -> Record:
    samples = np.empty((2, 0), dtype=np.int16) if digital is None else digital
    return Record("ward 3", samples, ("I", "II"), RATE, (1000.0, 500.0), (0, 3))


def stream(
    classify: Callable[[Record], dict[str, float]] = describe, hop_s: float = HOP_S
) -> StreamingClassifier:
    return StreamingClassifier(classify, header(), window_s=WINDOW_S, hop_s=hop_s)


def drawn(samples: int) -> np.ndarray:
    return np.random.default_rng(3).integers(-900, 900, (2, samples)).astype(np.int16)


@given(st.lists(st.integers(0, 170), max_size=8), st.sampled_from([0.1, 0.5, 2.0, 3.0]))
def test_results_are_those_of_the_windows_as_recordings(pieces: list[int], hop_s: float) -> None:
    digital = drawn(sum(pieces))
    streaming, found = stream(hop_s=hop_s), []
    for end, size in zip(np.cumsum(pieces), pieces, strict=True):
        found += streaming.push(digital[:, end - size : end])
    window, hop = round(WINDOW_S * RATE), round(hop_s * RATE)
    starts = range(0, sum(pieces) - window + 1, hop)
    assert [moment.end_s for moment in found] == [(start + window) / RATE for start in starts]
    for moment, start in zip(found, starts, strict=True):
        whole = header(digital[:, start : start + window])
        assert moment.probabilities == describe(whole)


def test_a_result_comes_with_the_last_sample_of_its_window() -> None:
    streaming, digital = stream(), drawn(100)
    assert streaming.push(digital[:, :99]) == []
    (moment,) = streaming.push(digital[:, 99:])
    assert moment.end_s == 2.0


def test_a_window_that_cannot_be_used_is_named_and_the_stream_goes_on() -> None:
    def refuse_the_first(record: Record) -> dict[str, float]:
        if record.name == "ward 3 0-2 s":
            raise RecordError(
                record.name, reason="flat", value="flat", expected="a signal", remedy="Wait."
            )
        return describe(record)

    first, second = stream(refuse_the_first).push(drawn(125))
    assert first.probabilities is None
    assert first.problem == "ward 3 0-2 s: flat; expected a signal. Wait."
    assert second.probabilities is not None
    assert second.problem is None


def test_samples_of_another_shape_or_type_are_refused() -> None:
    with pytest.raises(InputError, match=r"int16 \(2 leads, samples\)"):
        stream().push(drawn(10).astype(np.float32))
    with pytest.raises(InputError, match=r"int16 \(3, 10\)"):
        stream().push(np.zeros((3, 10), dtype=np.int16))
    with pytest.raises(InputError, match=r"hop_s: 0\.001 s at 50 samples per second"):
        stream(hop_s=0.001)

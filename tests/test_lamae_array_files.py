import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.record import MISSING, Reading
from lamae.errors import RecordError
from lamae.readers.arrays.array_files import (
    MAX_CSV_BYTES,
    REASONS,
    names_leads,
    read_csv_signals,
    read_npy,
)
from lamae.readers.arrays.array_layout import ArrayLayout

LAYOUT = ArrayLayout(sampling_rate=500)
INTEGERS = np.random.default_rng(0).integers(-2000, 2000, (12, 60)).astype(np.int16)
MILLIVOLTS = (INTEGERS / 1000).astype(np.float32)


def npy(path: Path, values: np.ndarray, layout: ArrayLayout = LAYOUT) -> Reading:
    np.save(path / "r.npy", values)
    return read_npy(path / "r.npy", layout, name="r")


def csv(path: Path, text: str, layout: ArrayLayout = LAYOUT) -> Reading:
    (path / "r.csv").write_text(text)
    return read_csv_signals(path / "r.csv", layout, name="r")


def changed(**changes: object) -> ArrayLayout:
    return ArrayLayout.model_validate({"sampling_rate": 500} | changes)


def reason_of(caught: pytest.ExceptionInfo[RecordError]) -> str:
    assert caught.value.reason in REASONS
    return caught.value.reason


@pytest.mark.parametrize("by_lead", [True, False])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_millivolts_of_either_orientation_are_read_exactly(
    tmp_path: Path, by_lead: bool, dtype: str
) -> None:
    values = MILLIVOLTS.astype(dtype)
    reading = npy(tmp_path, values if by_lead else np.asfortranarray(values.T))
    assert np.array_equal(reading.record.digital, INTEGERS)
    assert reading.record.gain == (1000.0,) * 12 and reading.notes == ()
    assert (reading.record.leads, reading.record.sampling_rate) == (LEADS, 500)
    assert reading.files == (tmp_path / "r.npy",)


def test_integers_with_a_gain_stay_as_they_are(tmp_path: Path) -> None:
    layout = changed(gain=200, baseline=5, unit="mV")
    for dtype in ("<i2", ">i2", "i4", "i8"):
        record = npy(tmp_path, INTEGERS.astype(dtype), layout).record
        assert np.array_equal(record.digital, INTEGERS) and record.digital.dtype == np.int16
        assert (record.gain, record.baseline) == ((200.0,) * 12, (5,) * 12)
    assert np.allclose(record.signal_mv(), (INTEGERS - 5.0) / 200)


@pytest.mark.parametrize(
    ("unit", "gain", "per_mv"), [("uV", None, 1000.0), ("uV", 5.0, 5000.0), ("V", 2e5, 200.0)]
)
def test_units_other_than_millivolts_are_converted(
    tmp_path: Path, unit: str, gain: float | None, per_mv: float
) -> None:
    layout = changed(unit=unit, gain=gain)
    integers = npy(tmp_path, INTEGERS, layout).record
    assert integers.gain == pytest.approx((per_mv,) * 12)
    floats = npy(tmp_path, INTEGERS.astype(np.float64), layout).record
    assert np.allclose(floats.signal_mv(), INTEGERS / per_mv, rtol=1e-6)


def test_leads_in_another_order_are_sorted_and_strange_ones_dropped(tmp_path: Path) -> None:
    layout = changed(leads=("V1", "resp", "avf", "II"))
    reading = npy(tmp_path, MILLIVOLTS[:4], layout)
    assert reading.record.leads == ("II", "aVF", "V1") and reading.dropped == ("resp",)
    assert np.array_equal(reading.record.digital, INTEGERS[[3, 2, 0]])


def test_padding_with_zeros_is_removed_where_the_layout_says_so(tmp_path: Path) -> None:
    padded = np.pad(MILLIVOLTS + 0.0005, ((0, 0), (7, 9)))
    assert npy(tmp_path, padded).record.digital.shape == (12, 76)
    record = npy(tmp_path, padded, changed(zero_padded=True)).record
    assert np.allclose(record.signal_mv(), MILLIVOLTS + 0.0005)


def test_values_on_no_lattice_are_noted_with_their_error(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(12, 60))
    (note,) = npy(tmp_path, values).notes
    error = np.abs(npy(tmp_path, values).record.signal_mv() - values).max()
    assert f"{error:.2g} mV" in note


@pytest.mark.parametrize(
    ("values", "layout", "reason"),
    [
        (np.zeros((12, 12)), LAYOUT, "ambiguous_axes"),
        (np.zeros((3, 60)), LAYOUT, "wrong_shape"),
        (np.zeros((12, 60)), changed(axes="samples leads"), "wrong_shape"),
        (np.zeros((1, 12, 60)), LAYOUT, "wrong_shape"),
        (np.zeros((0, 12)), LAYOUT, "no_samples"),
        (np.zeros((12, 60), complex), LAYOUT, "unsupported_type"),
        (np.zeros((12, 60), bool), LAYOUT, "unsupported_type"),
        (np.zeros((12, 60), "S3"), LAYOUT, "unsupported_type"),
        (np.zeros((12, 60), object), LAYOUT, "unreadable_file"),
        (INTEGERS, LAYOUT, "unknown_scale"),
        (INTEGERS.astype(int) * 99, changed(gain=1), "more_than_16_bits"),
        (np.zeros((12, 60)), changed(zero_padded=True), "no_samples"),
        (np.zeros((12, 60)), ArrayLayout(), "unknown_sampling_rate"),
        (np.zeros((2, 60)), changed(leads=("a", "b")), "no_standard_lead"),
        (np.zeros((2, 60)), changed(leads=("II", "ii")), "duplicate_lead"),
        (np.full((12, 60), np.inf), LAYOUT, "infinite_samples"),
        (np.full((12, 60), 1e9), LAYOUT, "implausible_amplitude"),
    ],
)
def test_arrays_of_no_use_are_refused_by_reason(
    tmp_path: Path, values: np.ndarray, layout: ArrayLayout, reason: str
) -> None:
    with pytest.raises(RecordError, match="recording r") as caught:
        npy(tmp_path, values, layout)
    assert reason_of(caught) == reason


def test_a_header_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    npy(tmp_path, MILLIVOLTS)
    whole = (tmp_path / "r.npy").read_bytes()
    for claim in (b"(12, 99)", b"(9999999999999999, 12)"):
        (tmp_path / "r.npy").write_bytes(whole.replace(b"(12, 60)", claim))
        with pytest.raises(RecordError) as caught:
            read_npy(tmp_path / "r.npy", LAYOUT, name="r")
        assert reason_of(caught) == "unreadable_file"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_npy, read_csv_signals):
        with pytest.raises(RecordError, match=r"no r\.xyz") as caught:
            read(tmp_path / "r.xyz", LAYOUT, name="r")
        assert reason_of(caught) == "missing_file"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_samples_is_read_by_its_header(tmp_path: Path, delimiter: str) -> None:
    header = ["time", "V2", "ECG_I", "resp"]
    rows = [["0.000", "0.125", "-1.5", "x"], ["0.002", "", "2", "y"], ["0.004", "nan", "0.5", ""]]
    text = "\n".join(delimiter.join(row) for row in [header, *rows]) + "\n\n"
    reading = csv(tmp_path, text)
    record = reading.record
    assert record.leads == ("I", "V2") and reading.dropped == ("resp",)
    expected = [[-1.5, 2, 0.5], [0.125, np.nan, np.nan]]
    assert np.array_equal(record.signal_mv(), np.array(expected, np.float32), equal_nan=True)
    assert (record.digital[1] == MISSING).tolist() == [False, True, True]


def test_integers_in_a_table_with_a_gain_return_exactly(tmp_path: Path) -> None:
    np.savetxt(
        tmp_path / "r.csv", INTEGERS.T, fmt="%d", delimiter=",", header=",".join(LEADS), comments=""
    )
    record = read_csv_signals(tmp_path / "r.csv", changed(gain=200), name="r").record
    assert np.array_equal(record.digital, INTEGERS) and record.gain == (200.0,) * 12


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("I,II\n1,2\n1,x\n", "unreadable_file", "line 3: no number in column II"),
        ("I,II\n1,2\n\n1\n", "unreadable_file", "line 4: fewer cells, 1 of 2"),
        ("I,II\n", "no_samples", "recording r"),
        ("", "no_standard_lead", "recording r"),
        ("a,b\n1,2\n", "no_standard_lead", "recording r"),
        ("I,i\n1,2\n", "duplicate_lead", "I twice"),
        ("I\n1e999\n", "infinite_samples", "recording r"),
        ("I\n1\x00\n", "unreadable_file", "recording r"),
    ],
)
def test_tables_of_no_use_are_refused_by_line(
    tmp_path: Path, text: str, reason: str, message: str
) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        csv(tmp_path, text)
    assert reason_of(caught) == reason


def test_a_table_too_large_for_memory_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "r.csv").open("wb") as file:
        file.truncate(MAX_CSV_BYTES + 1)
    with pytest.raises(RecordError) as caught:
        read_csv_signals(tmp_path / "r.csv", LAYOUT, name="r")
    assert reason_of(caught) == "file_too_large"


def test_a_table_of_recordings_is_told_from_a_table_of_labels(tmp_path: Path) -> None:
    csv(tmp_path, "t,avr,x\n0,1,2\n")
    (tmp_path / "labels.csv").write_text("record,age,AF\n")
    (tmp_path / "noise.csv").write_bytes(b"\xff\xfe\x00")
    found = [
        names_leads(tmp_path / name) for name in ("r.csv", "labels.csv", "noise.csv", "no.csv")
    ]
    assert found == [True, False, False, False]


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Return the content with a few bytes changed, moved, repeated or cut."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 2, 8))):
        place = draw.randrange(len(changed) or 1)
        what = draw.randrange(4)
        if what == 0:
            changed[place : place + 1] = draw.randbytes(1)
        elif what == 1:
            changed[place : place + draw.randrange(64)] = b""
        elif what == 2:
            changed[place:place] = changed[: draw.randrange(64)]
        else:
            changed[place : place + 1] = draw.choice(
                (b"9", b"(", b"\n", b"'", b"\x00", b"\xff", b",")
            )
    return bytes(changed)


def test_damaged_files_give_a_reading_or_a_reason(tmp_path: Path) -> None:
    draw, outcomes = random.Random(0), Counter[str]()
    npy(tmp_path, MILLIVOLTS)
    lines = [",".join(LEADS), *(",".join(map(str, row)) for row in MILLIVOLTS.T)]
    csv(tmp_path, "\n".join(lines))
    for name, read in (("r.npy", read_npy), ("r.csv", read_csv_signals)):
        whole = (tmp_path / name).read_bytes()
        for _ in range(300):
            # Half of the damage hits the first bytes, which say how to read all others.
            head = draw.choice((128, len(whole)))
            (tmp_path / name).write_bytes(mutated(whole[:head], draw) + whole[head:])
            try:
                read(tmp_path / name, LAYOUT, name="r")
            except RecordError as error:
                assert error.reason in REASONS
                outcomes[error.reason] += 1
            else:
                outcomes["read"] += 1
    assert outcomes["read"] > 50 and outcomes["unreadable_file"] > 50

import re
from pathlib import Path

import numpy as np
import pytest
import wfdb

from lamae.ecg.leads import LEADS
from lamae.ecg.record import MISSING
from lamae.errors import RecordError
from lamae.readers.traces import MAX_SAMPLES
from lamae.readers.wfdb.header import parse_header
from lamae.readers.wfdb.record_files import read_wfdb, read_wfdb_signals

# wfdb, which writes the records here, calls pandas in a way that pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

SAMPLES = 60


def write_record(
    folder: Path, *, fmt: str = "16", leads: tuple[str, ...] = LEADS, bits: int = 11
) -> np.ndarray:
    """Write the record `r` with wfdb; return its integers, (samples, leads)."""
    largest = 2 ** (bits - 1) - 1
    digital = np.random.default_rng(0).integers(-largest, largest, (SAMPLES, len(leads)))
    number = len(leads)
    wfdb.wrsamp(
        "r",
        fs=500,
        units=["mV"] * number,
        sig_name=list(leads),
        d_signal=digital,
        fmt=[fmt] * number,
        adc_gain=[200.0] * number,
        baseline=[0] * number,
        comments=["<age>: 60"],
        write_dir=str(folder),
    )
    return digital


def reason_of(path: Path) -> str:
    with pytest.raises(RecordError) as caught:
        read_wfdb(path)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", ["r", "r.hea"])
def test_a_record_is_read_as_it_was_written(tmp_path: Path, name: str) -> None:
    digital = write_record(tmp_path)
    record = read_wfdb(tmp_path / name)
    assert np.array_equal(record.digital, digital.T)
    assert (record.name, record.leads, record.sampling_rate) == ("r", LEADS, 500)
    assert record.gain == (200.0,) * 12 and record.baseline == (0,) * 12
    assert record.comments == ("<age>: 60",)


@pytest.mark.parametrize(
    ("fmt", "bits"), [("16", 16), ("24", 15), ("32", 15), ("80", 8), ("212", 12)]
)
def test_formats_that_wfdb_writes_give_the_same_integers(
    tmp_path: Path, fmt: str, bits: int
) -> None:
    digital = write_record(tmp_path, fmt=fmt, bits=bits)
    assert np.array_equal(read_wfdb(tmp_path / "r").digital, digital.T)


@pytest.mark.parametrize("fmt", ["61", "160", "310", "311"])
def test_formats_of_the_specification_give_the_same_integers(tmp_path: Path, fmt: str) -> None:
    digital = write_record(tmp_path, bits=10)
    edit(tmp_path, "r.dat 16 ", f"r.dat {fmt} ")
    (tmp_path / "r.dat").write_bytes(packed(digital.ravel(), fmt))
    assert np.array_equal(read_wfdb(tmp_path / "r").digital, digital.T)


def packed(values: np.ndarray, fmt: str) -> bytes:
    """Store integers as signal(5) says."""
    if fmt == "61":
        return values.astype(">i2").tobytes()
    if fmt == "160":
        return (values + 2**15).astype("<u2").tobytes()
    first, second, third = (values % 1024).reshape(-1, 3).T
    if fmt == "311":
        return (first | second << 10 | third << 20).astype("<u4").tobytes()
    words = [first << 1 | third % 32 << 11, second << 1 | third >> 5 << 11]
    return np.stack(words, axis=1).astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("fmt", "missing"), [("16", -(2**15)), ("24", -(2**23)), ("212", -(2**11)), ("80", -(2**7))]
)
def test_missing_samples_stay_missing_in_every_format(
    tmp_path: Path, fmt: str, missing: int
) -> None:
    digital = np.arange(SAMPLES)[:, None]
    digital[5:9] = missing
    wfdb.wrsamp("r", 500, ["mV"], ["II"], d_signal=digital, fmt=[fmt], adc_gain=[1.0],
                baseline=[0], write_dir=str(tmp_path))  # fmt: skip
    record = read_wfdb(tmp_path / "r")
    assert np.array_equal(np.flatnonzero(record.digital[0] == MISSING), [5, 6, 7, 8])
    assert np.array_equal(np.flatnonzero(np.isnan(record.signal_mv()[0])), [5, 6, 7, 8])


def test_leads_come_in_canonical_order_and_other_signals_are_named(tmp_path: Path) -> None:
    stored = ("vx", "v1", "AVF", "Lead I", "avl", "ecg_ii", "-aVR", "VI")
    digital = write_record(tmp_path, leads=stored)
    record, _, dropped, _ = read_wfdb_signals(tmp_path / "r")
    assert dropped == ("vx", "-aVR", "VI")
    assert record.leads == ("I", "II", "aVL", "aVF", "V1")
    assert np.array_equal(record.digital, digital.T[[3, 5, 4, 2, 1]])


def test_mimic_order_does_not_swap_avf_and_avl(tmp_path: Path) -> None:
    stored = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
    digital = write_record(tmp_path, leads=stored)
    record = read_wfdb(tmp_path / "r")
    assert np.array_equal(record.digital[LEADS.index("aVL")], digital[:, 5])
    assert np.array_equal(record.digital[LEADS.index("aVF")], digital[:, 4])


@pytest.mark.parametrize(
    ("gain", "units"), [(200, "mV"), (200, "mv"), (0.2, "uV"), (0.2, "µV"), (200000, "V")]
)
def test_units_are_converted_to_millivolts(tmp_path: Path, gain: float, units: str) -> None:
    digital = write_record(tmp_path, leads=("I",))
    edit(tmp_path, "200.0(0)/mV", f"{gain}(0)/{units}")
    np.testing.assert_allclose(
        read_wfdb(tmp_path / "r").signal_mv()[0], digital[:, 0] / 200, rtol=1e-6
    )


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "r.hea"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_headers_that_bend_the_rules_are_read_and_what_was_assumed_is_noted(tmp_path: Path) -> None:
    digital = write_record(tmp_path)
    path = tmp_path / "r.hea"
    text = path.read_text()
    plain = read_wfdb_signals(tmp_path / "r")
    assert plain.notes == ()
    changes = {
        "": text.replace("\n", " \t\r\n"),
        " ": text.rstrip("\n").replace("/mV", "/mv").replace("# ", "#"),
        "names the record r.mat": text.replace("r 12", "r.mat 12"),
        "no gain of I, II, III": re.sub(r" 200\.0\(0\)/mV", " 0", text),
        "no sampling rate": text.replace("r 12 500 ", "r 12 0 "),
    }
    for note, changed in changes.items():
        path.write_bytes(b"\xef\xbb\xbf" * (note == " ") + changed.encode())
        reading = read_wfdb_signals(tmp_path / "r")
        assert np.array_equal(reading.record.digital, digital.T)
        assert reading.record.gain == (200.0,) * 12 and reading.record.comments == ("<age>: 60",)
        assert len(reading.notes) == bool(note.strip()) and note.strip() in "".join(reading.notes)


def test_an_error_names_the_file_and_the_line(tmp_path: Path) -> None:
    write_record(tmp_path)
    edit(tmp_path, "0 aVR", "zero aVR")
    with pytest.raises(RecordError, match=r"r\.hea: line 5 is no signal line;"):
        read_wfdb(tmp_path / "r")


def test_an_absent_number_of_samples_is_that_of_the_file(tmp_path: Path) -> None:
    digital = write_record(tmp_path)
    edit(tmp_path, f"r 12 500 {SAMPLES}", "r 12 500")
    assert np.array_equal(read_wfdb(tmp_path / "r").digital, digital.T)


@pytest.mark.parametrize(
    "lines",
    [
        "r 1 500 60\nr.dat 16 1000(-5)/mV 16 0 -119 1508 0 I\n# <age>: 3",
        "r 2\nr.dat 212\nr.dat 212 100 12 7 0 0 0 a lead with a name",
        "r 1 360/720(3) 60 12:30:15.5 03/02/1999\nr.dat 16x2:3+24 1e3/uV 16 9 0 -7 0 V1",
        "#before\nr 1 257.5 60 05-Feb-2020 11:39:16\nr.mat 16+24 4.88/mV 16 0 28 -1716 0 aVR\n\n",
        "r 1 500 60\nr.dat 16 0 16 3 0 0 0 I",
    ],
)
def test_headers_are_parsed_as_by_wfdb(tmp_path: Path, lines: str) -> None:
    (tmp_path / "r.hea").write_text(lines)
    theirs, ours = wfdb.rdheader(str(tmp_path / "r")), parse_header(lines)
    assert ours.sampling_rate == theirs.fs
    assert ours.samples == theirs.sig_len
    assert list(ours.comments) == theirs.comments
    columns = {
        "file": theirs.file_name,
        "format": theirs.fmt,
        "samples_per_frame": [n or 1 for n in theirs.samps_per_frame],
        "skew": [n or 0 for n in theirs.skew],
        "offset": [n or 0 for n in theirs.byte_offset],
        "gain": theirs.adc_gain,
        "baseline": theirs.baseline,
        "units": theirs.units,
        "checksum": theirs.checksum,
        "name": [name or "" for name in theirs.sig_name],
    }
    for field, values in columns.items():
        assert [getattr(signal, field) for signal in ours.signals] == values, field


SIGNAL_LINE = "r.dat 16 200(0)/mV 16 0 0 0 0 {}"
TWO_LEADS = f"{SIGNAL_LINE.format('I')}\n{SIGNAL_LINE.format('II')}"
HEADERS = {
    "": "unreadable_header",
    "# only a comment": "unreadable_header",
    "r 3 500 60\n" + TWO_LEADS: "unreadable_header",
    "r two 500 60\n" + TWO_LEADS: "unreadable_header",
    "r 1 500 60\nr.dat sixteen 200": "unreadable_header",
    "r 1 500 60\n../r.dat 16 200 16 0 0 0 0 I": "unreadable_header",
    "r 1 500 60\nr.dat 16 200 16 zero 0 0 0 I": "unreadable_header",
    f"r 2 500 {'9' * 5000}\n" + TWO_LEADS: "unreadable_header",
    "#" * 2**21: "unreadable_header",
    "r/2 2 500 60\na 30\nb 30": "missing_header",
    "r/2 2 500 60\n../a 30\nb 30": "unreadable_header",
    "r/3 2 500 60\na 30\nb 30": "unreadable_header",
    f"r/1 2 500 {MAX_SAMPLES + 1}\na {MAX_SAMPLES + 1}": "too_many_samples",
    "r/1 2 500 60\n~ 60": "no_standard_lead",
    "r 1 500 60\nr.dat 8 200 8 0 0 0 0 I": "unsupported_format",
    "r 1 500 60\nr.dat 516 200 16 0 0 0 0 I": "unreadable_signal",
    "r 1 500 60\nr.dat 16x3 200 16 0 0 0 0 I": "truncated_signal_file",
    "r 1 500 60\nr.dat 16x0 200 16 0 0 0 0 I": "unsupported_format",
    "r 2 500 60\nr.dat 16 200 16 0 0 0 0 I\nr.dat 212 200 12 0 0 0 0 II": "unsupported_format",
    "r 0 500 60": "no_standard_lead",
    "r 1 500 60\n" + SIGNAL_LINE.format("MLX"): "no_standard_lead",
    "r 1 500 60\n" + SIGNAL_LINE.format(""): "no_standard_lead",
    "r 2 500 60\n" + TWO_LEADS.replace("II", "i"): "duplicate_lead",
    "r 1 500 60\nr.dat 16 200(0)/mmHg 16 0 0 0 0 I": "unknown_units",
    "r 1 500 60\nr.dat 16 1e-30(0)/mV 16 0 0 0 0 I": "implausible_gain",
    "r 1 500 60\nr.dat 16 9e999(0)/mV 16 0 0 0 0 I": "implausible_gain",
    "r 1 500 60\nr.dat 16 200(99999999999)/mV 16 0 0 0 0 I": "implausible_gain",
    "r 2 1 60\n" + TWO_LEADS: "implausible_sampling_rate",
    "r 2 49.4 60\n" + TWO_LEADS: "implausible_sampling_rate",
    "r 2 500000 60\n" + TWO_LEADS: "implausible_sampling_rate",
    "r 2 -500 60\n" + TWO_LEADS: "implausible_sampling_rate",
    f"r 2 500 {MAX_SAMPLES + 1}\n" + TWO_LEADS: "too_many_samples",
    "r 2 500 100000000000000000\n" + TWO_LEADS: "too_many_samples",
    "r 2 500 61\n" + TWO_LEADS: "truncated_signal_file",
    "r 1 500 60\nr.dat 16+999999 200 16 0 0 0 0 I": "truncated_signal_file",
    "r 1 500 60\nno.dat 16 200 16 0 0 0 0 I": "missing_signal_file",
    f"r 1 500 60\n{'n' * 300}.dat 16 200 16 0 0 0 0 I": "missing_signal_file",
    "r 1 500 60\n~ 16 200 16 0 0 0 0 I": "unreadable_header",
    "r 1 500 60\nr.dat 16 200 16 0 0 1 0 I": "checksum_mismatch",
}


@pytest.mark.parametrize(("header", "reason"), HEADERS.items(), ids=range(len(HEADERS)))
def test_a_bad_header_is_refused_by_name(tmp_path: Path, header: str, reason: str) -> None:
    (tmp_path / "r.hea").write_text(header)
    (tmp_path / "r.dat").write_bytes(bytes(60 * 2 * 2))
    assert reason_of(tmp_path / "r") == reason


def test_bad_files_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("r", "n" * 300, "a\0b"):
        assert reason_of(tmp_path / name) == "missing_header"
    write_record(tmp_path, fmt="24")
    content = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(content[:-1])
    assert reason_of(tmp_path / "r") == "truncated_signal_file"
    (tmp_path / "r.dat").write_bytes(bytes(range(1, 256)) * (len(content) // 255 + 1))
    assert reason_of(tmp_path / "r") == "checksum_mismatch"
    (tmp_path / "r.hea").write_text("r 1 500 60\nr.dat 24 200\n")
    assert reason_of(tmp_path / "r") == "no_standard_lead"
    (tmp_path / "r.hea").write_text("r 1 500 60\nr.dat 24 200 24 0 0  I\n")
    assert reason_of(tmp_path / "r") == "unreadable_header"


def test_real_recordings_are_read_as_by_wfdb(shared_data: Path) -> None:
    for stem in (shared_data / "wfdb_samples/s0010_re", shared_data / "cpsc2018/A0001"):
        record = read_wfdb(stem)
        names = [name.lower() for name in wfdb.rdheader(str(stem)).sig_name]
        channels = [names.index(lead.lower()) for lead in LEADS]
        theirs = wfdb.rdrecord(str(stem), channels=channels).p_signal.T
        assert record.leads == LEADS
        np.testing.assert_allclose(record.signal_mv(), theirs, rtol=1e-6, atol=1e-7)

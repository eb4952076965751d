"""All that WFDB allows: segments, frames, skew, rates, widths, and headers that people write."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import wfdb

from lamae.ecg.record import MISSING
from lamae.errors import RecordError
from lamae.readers.wfdb.record_files import read_wfdb, read_wfdb_signals
from lamae.readers.wfdb.segments import segment_names

# wfdb, which is the oracle here, calls pandas in a way that pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

FRAMES = 60
RNG = np.random.default_rng(0)


def write(
    folder: Path,
    name: str,
    leads: tuple[str, ...] = ("I", "II"),
    *,
    form: tuple[str, ...] = ("16", "16"),
    gain: str = "200",
    rate: str = "100",
    bits: int = 11,
    samples: int = FRAMES,
) -> np.ndarray:
    """Write a record by hand in format 16, 24 or 32; return its integers, (leads, samples)."""
    largest = 2 ** (bits - 1) - 1
    values = RNG.integers(-largest, largest, (samples, len(leads)))
    lines = [f"{name} {len(leads)} {rate} {samples}"]
    for lead, kind, total in zip(leads, form, values.sum(axis=0), strict=False):
        lines.append(f"{name}.dat {kind} {gain} 16 0 0 {total} 0 {lead}")
    (folder / f"{name}.hea").write_text("\n".join(lines))
    packed = values.astype("<i4").reshape(-1, 1).view(np.uint8)
    width = {"16": 2, "24": 3, "32": 4}[form[0].split(":")[0]]
    (folder / f"{name}.dat").write_bytes(packed[:, :width].tobytes())
    return values.T


def theirs_mv(path: Path, leads: tuple[str, ...]) -> np.ndarray:
    """Return what wfdb reads of a record, (leads, samples)."""
    record = wfdb.rdrecord(str(path))
    return np.stack([record.p_signal[:, record.sig_name.index(lead)] for lead in leads])


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("widths", [(4, 4, 1), (1, 2, 2), (3, 3, 3)])
@pytest.mark.parametrize("form", ["16", "212", "24"])
def test_signals_with_several_samples_in_a_frame_are_read_as_they_were_written(
    tmp_path: Path, widths: tuple[int, ...], form: str
) -> None:
    rows = [RNG.integers(-900, 900, FRAMES * width) for width in widths]
    wfdb.wrsamp(
        "r", 50, ["mV"] * 3, ["I", "II", "RESP"], e_d_signal=rows, samps_per_frame=list(widths),
        fmt=[form] * 3, adc_gain=[200.0] * 3, baseline=[0] * 3, write_dir=str(tmp_path),
    )  # fmt: skip
    reading = read_wfdb_signals(tmp_path / "r")
    fastest = max(widths[:2])
    assert reading.record.sampling_rate == 50 * fastest
    assert reading.dropped == ("RESP",)
    for lead, width in enumerate(widths[:2]):
        if width == fastest:
            assert np.array_equal(reading.record.digital[lead], rows[lead])
        else:
            assert f"I resampled from {50 * width} to {50 * fastest} Hz." in reading.notes


def test_a_slower_lead_of_a_record_keeps_its_wave(tmp_path: Path) -> None:
    fast = np.rint(800 * np.sin(np.arange(400) / 400 * 8 * np.pi)).astype(int)
    wfdb.wrsamp(
        "r", 100, ["mV"] * 2, ["I", "II"], e_d_signal=[fast[::2], fast], samps_per_frame=[1, 2],
        fmt=["16"] * 2, adc_gain=[200.0] * 2, baseline=[0] * 2, write_dir=str(tmp_path),
    )  # fmt: skip
    digital = read_wfdb(tmp_path / "r").digital.astype(int)
    assert np.abs(digital[0] - digital[1])[20:-20].max() <= 2


@pytest.mark.parametrize("skews", [(3, 3), (0, 5), (2, 7), (0, 99)])
def test_skew_is_undone(tmp_path: Path, skews: tuple[int, int]) -> None:
    values = write(tmp_path, "r", form=tuple(f"16:{skew}" for skew in skews))
    ours = read_wfdb(tmp_path / "r").digital
    for row, late, found in zip(values, skews, ours, strict=True):
        early = row[late:]
        assert np.array_equal(found[: len(early)], early)
        assert (found[len(early) :] == MISSING).all() and len(found) == FRAMES


def test_skew_of_one_signal_is_undone_as_by_wfdb(tmp_path: Path) -> None:
    write(tmp_path, "r", form=("16", "16:5"))
    ours, theirs = read_wfdb(tmp_path / "r").signal_mv(), theirs_mv(tmp_path / "r", ("I", "II"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("rate", ["249.89", "62.4725", "499.5", "128.0001"])
def test_a_fractional_rate_becomes_the_nearest_whole_one(tmp_path: Path, rate: str) -> None:
    samples = 2000
    write(tmp_path, "r", rate=rate, samples=samples)
    time_s = np.arange(samples) / float(rate)
    wave = np.rint(1000 * np.sin(2 * np.pi * 3 * time_s)).astype("<i2")
    np.stack([wave, -wave], axis=1).tofile(tmp_path / "r.dat")
    record, _, _, notes = read_wfdb_signals(tmp_path / "r", checksums="warn")
    whole = round(float(rate))
    assert record.sampling_rate == whole and any(f"to {whole} Hz" in note for note in notes)
    expected = 1000 * np.sin(2 * np.pi * 3 * np.arange(record.digital.shape[1]) / whole)
    assert np.abs(record.digital[0] - expected)[whole:-whole].max() < 3
    assert abs(record.duration_s - samples / float(rate)) <= 1 / whole


@pytest.mark.parametrize("form", ["24", "32"])
def test_wide_integers_are_shifted_or_divided_and_the_error_is_said(
    tmp_path: Path, form: str
) -> None:
    values = write(tmp_path, "r", form=(form, form), gain="2000(5)", bits=20)
    record, _, _, notes = read_wfdb_signals(tmp_path / "r")
    assert len(notes) == 2 and "uV at most" in notes[0]
    expected = (values - 5) / 2000
    assert np.abs(record.signal_mv() - expected).max() <= 0.51 / record.gain[0]
    shifted = RNG.integers(-20_000, 20_000, (FRAMES, 2)) + 500_000
    shifted[3] = -(2 ** (int(form) - 1))
    packed = shifted.astype("<i4").reshape(-1, 1).view(np.uint8)[:, : int(form) // 8]
    (tmp_path / "r.dat").write_bytes(packed.tobytes())
    edit(tmp_path / "r.hea", "2000(5)", "2000(500000)")
    record, _, _, notes = read_wfdb_signals(tmp_path / "r", checksums="warn")
    assert not any("uV at most" in note for note in notes)
    expected = ((shifted - 500_000) / 2000).T
    expected[:, 3] = np.nan
    np.testing.assert_allclose(record.signal_mv(), expected, rtol=1e-6)


@pytest.mark.parametrize(("form", "subtype"), [("516", "PCM_16"), ("524", "PCM_24")])
def test_compressed_signals_are_read_as_they_were_written(
    tmp_path: Path, form: str, subtype: str
) -> None:
    values = write(tmp_path, "r").T
    edit(tmp_path / "r.hea", "r.dat 16", f"r.dat {form}")
    wide = (values << (16 if form == "516" else 8)).astype(np.int32)
    soundfile.write(tmp_path / "r.dat", wide, 100, format="FLAC", subtype=subtype)
    assert np.array_equal(read_wfdb(tmp_path / "r").digital.T, values)


def write_multi(folder: Path, segments: list[tuple[str, int]], *, leads: int = 2) -> None:
    frames = sum(samples for _, samples in segments)
    lines = [f"m/{len(segments)} {leads} 100 {frames}", *(f"{n} {s}" for n, s in segments)]
    (folder / "m.hea").write_text("\n".join([*lines, "# Age: 60", ""]))


def test_segments_follow_each_other_and_gaps_are_missing(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a"), write(tmp_path, "b", samples=40)
    write_multi(tmp_path, [("a", FRAMES), ("~", 25), ("b", 40)])
    record, files, _, notes = read_wfdb_signals(tmp_path / "m")
    gap = np.full((2, 25), MISSING)
    assert np.array_equal(record.digital, np.concatenate([first, gap, second], axis=1))
    assert (record.name, record.gain, record.comments) == ("m", (200.0, 200.0), ("Age: 60",))
    assert [file.name for file in files] == ["m.hea", "a.hea", "a.dat", "b.hea", "b.dat"]
    assert notes == ("25 of 125 samples are in no segment with a lead.",)


def test_segments_of_several_layouts_and_scales_are_read_as_by_wfdb(tmp_path: Path) -> None:
    (tmp_path / "layout.hea").write_text(
        "layout 3 100 0\n~ 0 200 16 0 0 0 0 I\n~ 0 200 16 0 0 0 0 II\n~ 0 200 16 0 0 0 0 V\n"
    )
    write(tmp_path, "a", ("II", "V"), gain="400")
    write(tmp_path, "b", ("I", "II"), gain="200(7)", samples=40)
    write(tmp_path, "c", ("V", "W"), samples=10)
    write_multi(tmp_path, [("layout", 0), ("a", FRAMES), ("b", 40), ("c", 10)], leads=3)
    reading = read_wfdb_signals(tmp_path / "m")
    assert reading.record.leads == ("I", "II") and set(reading.dropped) == {"V", "W"}
    theirs = theirs_mv(tmp_path / "m", ("I", "II"))
    np.testing.assert_allclose(reading.record.signal_mv(), theirs, atol=1e-6)


def test_the_segments_of_a_record_are_named_for_those_who_list_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "a")
    write_multi(tmp_path, [("layout", 0), ("a", FRAMES), ("~", 25), ("a", FRAMES)])
    assert segment_names(tmp_path / "m.hea") == ("a", "layout")
    for name in ("a.hea", "no.hea", "a.dat"):
        assert segment_names(tmp_path / name) == ()
    write(tmp_path, "b", rate="360/720(3)")
    assert segment_names(tmp_path / "b.hea") == ()


SEGMENT_ERRORS = {
    "m/2 2 100 70\na 60\nno 10": "missing_header",
    "m/1 2 100 61\na 61": "unreadable_header",
    "m/1 2 50 60\na 60": "unreadable_header",
    "m/1 2 100 60\nm 60": "unreadable_header",
    "m/1 2 100 60\n/etc/a 60": "unreadable_header",
    "m/1 2 100 60\nv 60": "no_standard_lead",
    "m/1 2 100 60\nbad 60": "checksum_mismatch",
}


@pytest.mark.parametrize(("header", "reason"), SEGMENT_ERRORS.items())
def test_segments_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, header: str, reason: str
) -> None:
    write(tmp_path, "a")
    write(tmp_path, "v", ("V", "W"))
    write(tmp_path, "bad")
    write(tmp_path, "other")
    (tmp_path / "other.dat").rename(tmp_path / "bad.dat")
    (tmp_path / "m.hea").write_text(header)
    with pytest.raises(RecordError) as caught:
        read_wfdb(tmp_path / "m")
    assert caught.value.reason == reason


HEADERS = [
    "r 2 100 60\r\nr.dat 16 200 16 0 0 {} 0 I\r\nr.dat 16 200 16 0 0 {} 0 II\r\n",
    "r 2 100 60\nr.dat 16 200 16 0 0 {} 0 I # noisy\nr.dat 16 200 16 0 0 {} 0 II #\n# page\x0c2\n",
    "# one\N{LINE SEPARATOR}two\x85three\nr 2 100 60\nr.dat 16 200 16 0 0 {} 0 I\n"
    "r.dat 16 200 16 0 0 {} 0 II",
    "a ward/ünit 12 2 100 60\nr.dat 16 200 16 0 0 {} 0 I\nr.dat 16 200 16 0 0 {} 0 II",
    "p1/rec/2 2 100 60\nr.dat 16 200 16 0 0 {} 0 I\nr.dat 16 200 16 0 0 {} 0 II # \n",
    "p/7 2 100 60\nr.dat 16 200 16 0 0 {} 0 I\nr.dat 16 200 16 0 0 {} 0 II",
    "r 2 100 60\nr.dat 16 0.2/\N{GREEK SMALL LETTER MU}V 16 0 0 {} 0 I\n"
    "r.dat 16 0.2/\N{MICRO SIGN}V 16 0 0 {} 0 II",
    "r 2 100 60\nR.DAT 16 200/mv 16 0 0 {} 0 EKG I\nR.DAT 16 200 16 0 0 {} 0 ECG Lead-II",
    "r 2 100 60\ntwo words.dat 16 200 16 0 0 {} 0 I-REF\ntwo words.dat 16 200 16 0 0 {} 0 DII",
]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("number", range(len(HEADERS)))
def test_headers_that_people_write_are_read(tmp_path: Path, number: int, encoding: str) -> None:
    values = write(tmp_path, "r")
    text = HEADERS[number].format(*values.sum(axis=1))
    if encoding == "latin-1":
        text = text.replace("\N{GREEK SMALL LETTER MU}", "u").replace("\N{LINE SEPARATOR}", " ")
    (tmp_path / "r.hea").write_bytes(text.encode(encoding))
    if "words" in text:
        (tmp_path / "r.dat").rename(tmp_path / "two words.dat")
    record = read_wfdb(tmp_path / "r")
    assert np.array_equal(record.digital, values) and record.gain == (200.0, 200.0)


def test_an_ending_in_capitals_and_text_for_a_path_are_taken(tmp_path: Path) -> None:
    values = write(tmp_path, "UP")
    (tmp_path / "UP.hea").rename(tmp_path / "UP.HEA")
    (tmp_path / "UP.dat").rename(tmp_path / "UP.DAT")
    for path in (tmp_path / "UP", str(tmp_path / "UP.HEA")):
        record = read_wfdb(path)
        assert record.name == "UP" and np.array_equal(record.digital, values)


def test_checksums_that_differ_refuse_or_are_noted(tmp_path: Path) -> None:
    values = write(tmp_path, "r")
    right = str(values[0].sum())
    edit(tmp_path / "r.hea", f" {right} 0 I", " 7 0 I")
    with pytest.raises(RecordError, match=r"signal I; expected 7, as .* checksums=warn"):
        read_wfdb(tmp_path / "r")
    record, _, _, notes = read_wfdb_signals(tmp_path / "r", checksums="warn")
    assert np.array_equal(record.digital, values)
    assert notes == ("The checksum of I is not that of the header.",)
    edit(tmp_path / "r.hea", " 7 0 I", " 0 0 I")
    edit(tmp_path / "r.hea", f" {values[1].sum()} 0 II", " 0 0 II")
    assert "all 0" in read_wfdb_signals(tmp_path / "r").notes[0]


def test_the_modified_limb_lead_stands_for_its_own_and_is_noted(tmp_path: Path) -> None:
    write(tmp_path, "r", ("MLII", "V5"))
    record, _, dropped, notes = read_wfdb_signals(tmp_path / "r")
    assert record.leads == ("II", "V5") and not dropped
    assert notes == ("Lead II is MLII, a modified limb lead.",)


def test_a_user_names_leads_and_the_unit(tmp_path: Path) -> None:
    values = write(tmp_path, "r", ("ECG1", "Chan 2"))
    with pytest.raises(RecordError, match="leads_as"):
        read_wfdb(tmp_path / "r")
    record = read_wfdb(tmp_path / "r", leads_as={"ecg1": "v5", "Chan 2 ": "II"}, unit="uV")
    assert record.leads == ("II", "V5") and record.gain == (200_000.0, 200_000.0)
    assert np.array_equal(record.digital, values[::-1])


@pytest.mark.parametrize(
    ("form", "found"), [("16+2", "from several bytes on"), ("16x0", "in frames of 1 samples")]
)
def test_a_file_that_is_not_read_is_refused_for_the_one_thing_found(
    tmp_path: Path, form: str, found: str
) -> None:
    write(tmp_path, "r", form=("16", form))
    with pytest.raises(RecordError, match=f": r.dat {found};") as caught:
        read_wfdb(tmp_path / "r")
    assert caught.value.reason == "unsupported_format"

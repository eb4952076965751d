"""Tables of samples as recorders, spreadsheets and watches write them."""

import os
from pathlib import Path

import numpy as np
import pytest

from lamae.ecg.record import Reading
from lamae.errors import RecordError
from lamae.readers.arrays.array_files import names_leads, read_csv_signals
from lamae.readers.arrays.array_layout import ArrayLayout

SIGNAL = np.random.default_rng(0).integers(-1500, 1500, (50, 2)) / 1000
ROWS = [[f"{value:.3f}" for value in row] for row in SIGNAL]


def read(path: Path, content: str | bytes, **settings: object) -> Reading:
    file = path / "r.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert names_leads(file)
    layout = ArrayLayout.model_validate({"sampling_rate": 500} | settings)
    return read_csv_signals(file, layout, name="r")


def table(header: str, delimiter: str = ",", *, before: str = "", comma: bool = False) -> str:
    rows = [delimiter.join(row) for row in ROWS]
    text = "\n".join([header, *rows])
    return before + (text.replace(".", ",") if comma else text) + "\n"


TABLES = {
    "units in names": table("I (mV),II [mV]"),
    "units below": table("I,II\nmV,mV"),
    "quotes": table("'I','II'\n'mV','mV'"),
    "double quotes": table('"I","II"'),
    "decimal commas": table("I;II", ";", comma=True),
    "decimal commas and tabs": table("I\tII", "\t", comma=True),
    "facts above": table("I,II", before="Device,X1\nOperator,Jane Roe\n\n"),
    "semicolons below a fact": table("ecg i;ecg ii", ";", before="Recorder, of 2020\n"),
    "carriage returns": table("I,II").replace("\n", "\r\n"),
    "empty lines": table("I,II").replace("\n", "\n\n"),
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_a_table_of_any_make_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    reading = read(tmp_path, text.encode(encoding))
    assert reading.record.leads == ("I", "II") and not reading.dropped
    np.testing.assert_allclose(reading.record.signal_mv(), SIGNAL.T, atol=1e-6)


@pytest.mark.parametrize("missing", ["", "NA", "n/a", "NaN", "null", "-"])
def test_the_ways_to_write_a_missing_sample_are_known(tmp_path: Path, missing: str) -> None:
    record = read(tmp_path, f"I,II\n1,2\n{missing},3\n").record
    assert np.isnan(record.signal_mv()[0]).tolist() == [False, True]


@pytest.mark.parametrize(
    ("header", "times"),
    [
        ("Zeit (µs),I,II", [f"{4000 * n}" for n in range(50)]),
        ("time [ms],I,II", [f"{4 * n}" for n in range(50)]),
        ("time_s,I,II", [f"{n / 250:.3f}" for n in range(50)]),
        ("Elapsed time,I,II\n'hh:mm:ss.mmm','mV','mV'", [f"0:00:{n / 250:.3f}" for n in range(50)]),
        ("fs,250\n\nI,II", []),
        ("Abtastrate,250\nI,II", []),
        ("Rate of it,250 Hz\nI,II", []),
    ],
)  # fmt: skip
def test_the_file_gives_its_rate_where_the_user_does_not(
    tmp_path: Path, header: str, times: list[str]
) -> None:
    rows = [[time, *row] for time, row in zip(times, ROWS, strict=True)] if times else ROWS
    text = "\n".join([header, *(",".join(row) for row in rows)])
    reading = read(tmp_path, text, sampling_rate=None)
    assert reading.record.sampling_rate == 250 and not reading.dropped
    assert read(tmp_path, text, sampling_rate=100).record.sampling_rate == 100


@pytest.mark.parametrize("header", ["time,I,II", "t,I,II"])
def test_no_rate_is_guessed_from_times_without_a_unit(tmp_path: Path, header: str) -> None:
    text = "\n".join([header, *(f"{n},1,2" for n in range(9))])
    with pytest.raises(RecordError, match="sampling_rate") as caught:
        read(tmp_path, text, sampling_rate=None)
    assert caught.value.reason == "unknown_sampling_rate"


WATCH = """Name,"Roe, Jane"
Date of Birth,"1 Jan 1970"
Recorded Date,2020-01-01 10:00:00 +0000
Classification,Sinus Rhythm
Sample Rate,512 hertz


Lead,Lead I
Unit,µV

"""


@pytest.mark.parametrize("comma", [False, True])
def test_the_export_of_a_watch_is_read_and_names_nobody(tmp_path: Path, comma: bool) -> None:
    values = [f"{1000 * value:.1f}" for value in SIGNAL[:, 0]]
    cells = [f'"{v.replace(".", ",")}"' if comma else v for v in values]
    reading = read(tmp_path, WATCH + "\n".join(cells) + "\n", sampling_rate=None)
    assert (reading.record.leads, reading.record.sampling_rate) == (("I",), 512)
    np.testing.assert_allclose(reading.record.signal_mv()[0], SIGNAL[:, 0], atol=1e-6)
    assert "Roe" not in repr(reading) and "1970" not in repr(reading)
    with pytest.raises(RecordError) as caught:
        read(tmp_path, WATCH + "1\nJane\n", sampling_rate=None)
    assert "Jane" not in str(caught.value) and "line 12" in str(caught.value)


def test_microvolts_of_the_file_and_of_the_user_are_converted(tmp_path: Path) -> None:
    text = "I (uV),II (mV)\n" + "\n".join(f"{1000 * a:.0f},{b}" for a, b in SIGNAL)
    np.testing.assert_allclose(read(tmp_path, text).record.signal_mv(), SIGNAL.T, atol=1e-6)
    plain = "I,II\n1000,2000\n0,0\n"
    (tmp_path / "r.csv").write_text(plain)
    layout = ArrayLayout(sampling_rate=500)
    record = read_csv_signals(tmp_path / "r.csv", layout, name="r", unit="uV").record
    np.testing.assert_allclose(record.signal_mv()[:, 0], [1, 2])


@pytest.mark.parametrize(
    "text", ["record,age,AF\nr1,50,1\n", "name;sex\n", "Lead,x\n", "filename\tdx\na\tV1 only\n", ""]
)
def test_a_table_of_labels_is_no_recording(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    assert not names_leads(tmp_path / "labels.csv")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    assert not names_leads(tmp_path / "p.csv")
    with pytest.raises(RecordError) as caught:
        read_csv_signals(tmp_path / "p.csv", ArrayLayout(sampling_rate=500), name="p")
    assert caught.value.reason == "missing_file"


def test_a_user_names_columns(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("ch 1,ch 2\n1,2\n")
    leads_as = {"CH 2": "II"}
    assert not names_leads(tmp_path / "r.csv")
    assert names_leads(tmp_path / "r.csv", leads_as=leads_as)
    layout = ArrayLayout(sampling_rate=500)
    reading = read_csv_signals(tmp_path / "r.csv", layout, name="r", leads_as=leads_as)
    assert reading.record.leads == ("II",) and reading.dropped == ("ch 1",)

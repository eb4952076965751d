"""Names, dates of birth and the like in the files of hospitals are in nothing that a build says."""

import logging
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.record import Record
from shards.build.run import build_part
from shards.entries import BUILDING
from shards.identity import clinical_comments
from shards.main import main
from shards.settings import ShardsSettings
from tests.test_lamae_readers_hospital_damage import damaged
from tests.test_lamae_readers_hospital_files import NAME, RATE, WRITERS, digital, edit

DOCTOR, STREET, PHONE, NUMBER = "Quackenbush", "Sesamgasse", "0176-5551234", "AB-123-XY"
PLANTED = (
    *NAME, DOCTOR, STREET, PHONE, NUMBER,
    "1960-02-29", "19600229", "02-29-1960", "29-FEB-1960", "29 Feb 1960", "29.02.1960",
)  # fmt: skip
DAMAGED = 6


def write_muse(path: Path) -> None:
    WRITERS["muse"](path)
    more = f"<PatientSSN>{NUMBER}</PatientSSN><HomePhone>{PHONE}</HomePhone>"
    edit(path, "<Gender>", f"{more}<Address>{STREET}</Address><Gender>")
    edit(path, "<AcquisitionDate>", f"<OverreaderLastName>{DOCTOR}</OverreaderLastName>"
         "<AcquisitionDate>")  # fmt: skip


def write_sierra(path: Path) -> None:
    WRITERS["sierra"](path)
    edit(path, "<age>", f"<address>{STREET}</address><phone>{PHONE}</phone><age>")
    edit(path, "<documentinfo>", f"<editor>{DOCTOR} {NUMBER}</editor><documentinfo>")


def write_aecg(path: Path) -> None:
    WRITERS["aecg"](path)
    edit(path, "<birthTime", f"<addr>{STREET}</addr><telecom value='{PHONE}'/><birthTime")
    edit(path, "<componentOf><timep", f"<author>{DOCTOR} {NUMBER}</author><componentOf><timep")


def write_dicom(path: Path) -> None:
    WRITERS["dicom"](path)
    data = pydicom.dcmread(path)
    data.ReferringPhysicianName, data.PatientAddress = DOCTOR, STREET
    data.PatientTelephoneNumbers, data.OtherPatientNames = PHONE, NAME[0]
    data.PatientComments = data.WaveformSequence[0].MultiplexGroupLabel = DOCTOR
    data.AccessionNumber = NUMBER
    data.save_as(path)


def write_edf(path: Path) -> None:
    WRITERS["edf"](path)
    content = path.read_bytes()
    recording = f"Startdate 04-MAR-2021 {NUMBER} {DOCTOR} {PHONE}".encode().ljust(80)
    path.write_bytes(content[:88] + recording + content[168:])


def write_kardia(path: Path) -> None:
    WRITERS["kardia"](path)
    edit(path, '"note": ', f'"patientName": "{NAME[0]}", "dob": "1960-02-29", "note": ')


def write_watch(path: Path) -> None:
    """Write as a watch exports: facts, one of them the lead, above a column of numbers."""
    facts = f'Name,"{NAME[0]}, {NAME[1]}"\nDate of Birth,29 Feb 1960\nPhone,{PHONE}\n'
    rows = "\n".join(map(str, digital(("I",))[0]))
    path.write_text(f"{facts}Sample Rate,{RATE} hertz\nLead,Lead I\nUnit,uV\n\n{rows}\n")


def write_spreadsheet(path: Path) -> None:
    facts = f"Patient: {NAME[1]} {NAME[0]}\nGeburtsdatum: 29.02.1960\nArzt: {DOCTOR}\n"
    rows = "\n".join(f"{n * 2};{a};{b}" for n, (a, b) in enumerate(digital(("I", "II")).T))
    path.write_text(f"{facts}Zeit [ms];I [uV];II [uV]\n{rows}\n")


def write_wfdb(path: Path) -> None:
    """Write a header with names in its comments, and its signals beside it."""
    path.with_suffix(".dat").write_bytes(digital().T.astype("<i2").tobytes())
    line = f"{path.stem}.dat 16 200/mV 16 0 {{}} {{}} 0 {{}}"
    sums = digital().astype(int).sum(axis=1) % 2**16
    facts = zip(digital()[:, 0], sums, LEADS, strict=True)
    comments = [
        f"{NAME[1]} {NAME[0]}", f"Name: {NAME[0]}", "DOB: 1960-02-29", f"Physician: {DOCTOR}",
        f"Address: {STREET}, {PHONE}", f"Report: {NAME[1]} is well", "Age: 61", "Sex: Female",
        f"Born:29.02.1960 {NUMBER}", "Dx: AF",
    ]  # fmt: skip
    lines = [f"{path.stem} 12 {RATE} 600", *(line.format(*fact) for fact in facts)]
    path.write_text("\n".join([*lines, *(f"# {comment}" for comment in comments), ""]))


FILES: dict[str, Callable[[Path], None]] = {
    **{f"{form}.bin": write for form, write in WRITERS.items()},
    "muse.bin": write_muse, "sierra.bin": write_sierra, "aecg.bin": write_aecg,
    "dicom.bin": write_dicom, "edf.bin": write_edf, "kardia.bin": write_kardia,
    "watch.csv": write_watch, "sheet.csv": write_spreadsheet, "w.hea": write_wfdb,
}  # fmt: skip


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Write a file of every format, and each again with its first lines gone or damaged."""
    source, rng = tmp_path / "source", np.random.default_rng(0)
    source.mkdir()
    for name, write in FILES.items():
        path = source / name
        write(path)
        whole = path.read_bytes()
        assert any(word in whole.decode("latin-1") for word in PLANTED)
        for number in range(DAMAGED):
            (source / f"{number}-{name}").write_bytes(damaged(whole, rng))
        (source / f"later-{name}").write_bytes(whole[40:])
        (source / f"half-{name}").write_bytes(whole[: len(whole) // 2])
    bare = (source / "w.hea").read_text().replace("# ", "")
    (source / "bare-w.hea").write_text(bare)
    return source


def found_in(contents: Iterable[tuple[str, bytes]]) -> dict[str, list[str]]:
    """Return the planted words in contents, in one byte or two a character and in any case."""
    words = {word: word.lower().encode() for word in PLANTED}
    found = {}
    for name, content in contents:
        plain = content.lower().replace(b"\0", b"")
        if there := [word for word, known in words.items() if known in plain]:
            found[name] = there
    return found


def contents(folder: Path) -> Iterable[tuple[str, bytes]]:
    """Yield all files below a folder, what is in their tars, and tables as text."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()
        if path.suffix == ".tar":
            with tarfile.open(path) as tar:
                for member in tar:
                    file = tar.extractfile(member)
                    yield member.name, member.name.encode() + (file.read() if file else b"")
        if path.suffix == ".parquet":
            yield path.name, repr(pq.read_table(path).to_pylist()).encode()


@pytest.mark.parametrize("codec", ["ecg", pytest.param("npy", marks=pytest.mark.slow)])
def test_nothing_that_a_build_writes_or_says_tells_who_a_patient_is(
    hospital: Path,
    codec: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    output, there = hospital.parent / "out", "quality={missing_leads: {policy: ignore}}"
    common = [f"source={hospital}", there, "min_duration_s=1"]
    main(["inspect", *common, "recordings=200"])
    for path in sorted(hospital.iterdir()):
        main(["inspect", f"source={path}", there, "min_duration_s=1"])
    main([*common, f"output={output}", "workers=1", f"codec={codec}", "duplicates=keep"])
    main(["verify", str(output)])
    main(["describe", str(output)])
    main(["export", f"data={output}", f"output={hospital.parent}/all.h5"])
    said = capsys.readouterr()
    assert "unreadable_file" in said.out and "not read" in said.out
    read = {row["source"] for row in pq.read_table(output / "index.parquet").to_pylist()}
    assert {name.removesuffix(".hea") for name in FILES} <= read
    spoken = [("out", said.out), ("err", said.err), ("log", caplog.text)]
    assert not found_in((name, text.encode()) for name, text in spoken)
    assert not found_in(contents(output))
    assert not found_in([("all.h5", (hospital.parent / "all.h5").read_bytes())])


def test_a_build_that_is_not_finished_does_not_tell_either(hospital: Path) -> None:
    given = {"source": hospital, "output": hospital.parent / "out", "parts": 2, "workers": 1}
    build_part(ShardsSettings.model_validate(given))
    assert (given["output"] / BUILDING / "plan.json").exists()  # type: ignore[operator]
    assert not found_in(contents(hospital.parent / "out"))


@pytest.mark.parametrize(
    "comment", ["Jane Roe", "Name: Jane Roe", "Age 61, Jane Roe", "dr: Roe", "69 M Roe", ": Roe"]
)
def test_a_comment_that_may_name_a_person_is_left_out_and_counted(comment: str) -> None:
    clinical = ("Age: 61", "<sex>: F", "Reason for admission: chest pain", "# Dx: AF".lstrip("# "))
    signal = np.zeros((1, 9), np.int16)
    record = Record("r", signal, ("I",), 100, (200.0,), (0,), (clinical[0], comment, *clinical[1:]))
    kept, notes = clinical_comments(record)
    assert kept.comments == clinical and len(notes) == 1 and notes[0].startswith("1 comments")
    assert clinical_comments(kept) == (kept, ())

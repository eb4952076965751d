import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamae.errors import InputError
from shards.inspection import inspect_source
from shards.settings import InspectSettings
from tests.test_lamae_readers_hospital_files import write_muse


def write_record(folder: Path, name: str, leads: tuple[str, ...] = ("I", "II")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    digital = np.random.default_rng(len(name)).normal(0, 100, (600, len(leads))).astype("<i2")
    (folder / f"{name}.dat").write_bytes(digital.tobytes())
    sums = digital.astype(int).sum(axis=0) % 2**16
    signals = [
        f"{name}.dat 16 200/mV 16 0 {digital[0, i]} {sums[i]} 0 {lead}"
        for i, lead in enumerate(leads)
    ]
    lines = [f"{name} {len(leads)} 100 600", *signals]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")


def inspected(source: Path, **settings: Any) -> str:
    values = {"source": source, **settings}
    return "\n".join(inspect_source(InspectSettings.model_validate(values)))


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Write three recordings, one of them cut short, a letter, and a table beside them."""
    for name in ("a", "b", "c"):
        write_record(tmp_path / "rec", name)
    (tmp_path / "rec" / "c.dat").write_bytes(b"\0" * 100)
    (tmp_path / "rec" / "letter.xyz").write_text("Dear colleague\n")
    table = "ecg_file;MRN;Age;AF\nrec\\a.hea;7;61,5;1\nrec\\b.hea;7.0;;0\nz;9;50;\n"
    (tmp_path / "t.csv").write_text(table)
    return tmp_path / "rec"


def test_a_folder_is_shown_as_it_would_be_read(cohort: Path) -> None:
    before = sorted(path.name for path in cohort.parent.rglob("*"))
    text = inspected(cohort, table=cohort.parent / "t.csv")
    assert sorted(path.name for path in cohort.parent.rglob("*")) == before
    for line in (
        "3 recordings (3 wfdb) of 2 patients",
        "1 recordings without a patient: each counts as its own",
        "table t.csv: 3 rows, UTF-8, separated by ';'",
        "recordings: column ecg_file",
        "patients: column MRN",
        "about the recording, no labels: Age",
        "label set label: AF 1, none of them 1, unlabelled 1",
        "3 recordings as they are read, all of them:",
        "without a row in the table: 1 recordings, unlabelled",
        "rejected 1: label_row_without_record",
    ):
        assert line in text.split("\n")
    assert re.search(r"\n  a +7 +I, II +100 +6 +[\d.]+ +label: AF", text)
    assert re.search(r"\n  c +c +.*label: unlabelled +not read, truncated_signal_file", text)
    assert "not read 1 .xyz: letter.xyz. It begins with 'Dear colleague'." in text


def test_a_single_file_is_shown_with_what_would_be_read(cohort: Path) -> None:
    text = inspected(cohort / "a.hea")
    assert "leads: I, II" in text and "sampling rate: 100 Hz; 6 s" in text
    assert inspected(cohort / "letter.xyz").startswith("not read: ")
    assert "truncated" in inspected(cohort / "c.hea") or "not read" in inspected(cohort / "c.hea")


def test_of_many_files_some_are_opened_and_the_output_says_so(tmp_path: Path) -> None:
    for number in range(40):
        write_record(tmp_path, f"r{number:02}")
    text = inspected(tmp_path, max_opened=10, recordings=2)
    assert "40 recordings (40 wfdb) of 40 patients" in text
    assert "10 of 80 files were opened; the others are taken to be alike" in text
    assert "2 recordings as they are read, drawn by chance:" in text
    assert "not read" not in text


def test_patients_of_files_that_were_not_opened_are_not_taken_for_nobodys(tmp_path: Path) -> None:
    for number in range(20):
        write_muse(tmp_path / f"e{number:02}.xml")
    text = inspected(tmp_path, max_opened=5, recordings=1)
    assert "20 recordings (20 by_content) of at most 16 patients" in text
    assert "without a patient" not in text
    assert "patients of 5 files: as the files state them" in text
    assert "whose 15 of them are, a build reads" in text
    assert "20 recordings (20 by_content) of 1 patients" in inspected(tmp_path, recordings=1)


def test_leads_that_others_give_are_told(tmp_path: Path) -> None:
    write_muse(tmp_path / "e.xml")
    assert "8, which give 12" in inspected(tmp_path, min_duration_s=1)
    text = inspected(tmp_path / "e.xml", min_duration_s=1)
    assert "leads: I, II, V1, V2, V3, V4, V5, V6; they give III, aVR, aVL, aVF" in text


def test_codes_that_steer_a_terminal_are_shown_as_escapes(tmp_path: Path) -> None:
    write_record(tmp_path, "a")
    (tmp_path / "\x1b]0;title\x07.xyz").write_text("\x1b[2J")
    text = inspected(tmp_path)
    assert "\x1b" not in text and "\\x1b]0;title\\x07.xyz" in text


def test_a_folder_without_recordings_is_an_error_that_shows_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "scan.xyz").write_bytes(b"\0\1\2")
    with pytest.raises(InputError, match=r"not read 1 .xyz, such as scan.xyz: It begins with the"):
        inspected(tmp_path)

"""Folders and tables as people leave them: nobody on both sides, and nothing lost in silence."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from shards.build.run import build_shards
from shards.entries import Listing
from shards.rejects import read_rejects
from shards.settings import ShardsSettings
from shards.show import summary_lines
from shards.sources.kinds import list_source

DRAWS = np.random.default_rng(0)


def settings_of(source: Path, **changes: Any) -> ShardsSettings:
    values = {
        "source": source,
        "output": source.parent / "out",
        "arrays": {"sampling_rate": 100},
        "split": {"train": 0.5, "val": 0.25, "test": 0.25},
        "quality": {"missing_leads": {"policy": "ignore"}},
        "workers": 1,
    }
    return ShardsSettings.model_validate(values | changes)


def write_header(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.stem
    path.write_text(f"{name} 2 100 600\n{name}.dat 16 200/mV 16 0 0 0 0 I\n{name}.dat 16 200/mV\n")


def write_record(folder: Path, name: str) -> None:
    """Write a WFDB record of two leads and six seconds."""
    digital = DRAWS.normal(0, 100, (600, 2)).astype("<i2")
    (folder / f"{name}.dat").write_bytes(digital.tobytes())
    sums = digital.astype(int).sum(axis=0) % 2**16
    lines = [
        f"{name}.dat 16 200/mV 16 0 {digital[0, i]} {sums[i]} 0 {lead}"
        for i, lead in enumerate(("I", "II"))
    ]
    (folder / f"{name}.hea").write_text("\n".join([f"{name} 2 100 600", *lines, ""]))


def listed(folder: Path, table: str, **changes: Any) -> Listing:
    """List three patients of two recordings each, `00000` to `00005`, with a table."""
    source = folder / "rec"
    if not source.is_dir():
        for number in range(6):
            write_header(source / f"{number:05}.hea")
            (source / f"{number:05}.dat").touch()
    (folder / "t.csv").write_text(table, encoding="utf-8")
    return list_source(settings_of(source, table=folder / "t.csv", **changes))


@pytest.mark.parametrize("name", ["{}", "{:05}x", "scan-{:05}", "0{:05}"])
def test_a_table_that_fits_no_file_ends_with_a_row_beside_a_recording(
    tmp_path: Path, name: str
) -> None:
    rows = "".join(f"{name.format(n)},P{n // 2},AF\n" for n in range(6))
    with pytest.raises(InputError, match=r"0 of 6 rows and of 6 recordings match: row '.*' beside"):
        listed(tmp_path, f"filename,patient_id,x\n{rows}")


def test_rows_and_recordings_without_the_other_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"{n:05},P{n // 2},AF\n" for n in range(1, 7))
    found = listed(tmp_path, f"filename,patient_id,x\n{rows}")
    assert (len(found.entries), found.without_label_row, found.without_patient) == (6, 1, 1)
    assert [(r.name, r.reason) for r in found.rejects] == [("00006", "label_row_without_record")]


@pytest.mark.parametrize("cell", ["nan", "NA", "", "None"])
def test_patients_that_nothing_names_are_each_their_own_and_no_split_is_emptied(
    tmp_path: Path, cell: str
) -> None:
    rows = "".join(f"{n:05},{cell},AF\n" for n in range(6))
    found = listed(tmp_path, f"filename,patient_id,x\n{rows}")
    assert len({entry.patient_id for entry in found.entries}) == found.without_patient == 6


@pytest.mark.parametrize("kind", ["float64", "float text", "variable text", "fixed text", "int"])
def test_exams_of_code_15_are_found_whatever_the_type_of_their_ids(
    tmp_path: Path, kind: str
) -> None:
    ids = [1000001, 1000002, 0]
    with h5py.File(tmp_path / "exams_part0.hdf5", "w") as file:
        file["tracings"] = np.zeros((3, 64, 12), np.float32)
        if kind == "variable text":
            file.create_dataset("exam_id", data=list(map(str, ids)), dtype=h5py.string_dtype())
        elif kind == "float text":
            file["exam_id"] = np.array([f"{i}.0" for i in ids], dtype="S")
        else:
            types = {"float64": "f8", "fixed text": "S", "int": "i8"}
            file["exam_id"] = np.array(ids).astype(types[kind])
    classes = "1dAVb,RBBB,LBBB,SB,ST,AF"
    rows = [f"{i}.0,7,exams_part0.hdf5,0,0,0,0,0,1" for i in ids[:2]]
    table = "\n".join([f"exam_id,patient_id,trace_file,{classes}", *rows])
    (tmp_path / "exams.csv").write_text(table)
    found = list_source(settings_of(tmp_path, source_kind="code15"))
    assert [(e.key, e.patient_id, e.labels) for e in found.entries] == [
        ("1000001", "7", {"code15": ("AF",)}),
        ("1000002", "7", {"code15": ("AF",)}),
    ]
    assert [r.reason for r in found.rejects] == ["filler_exam"]


def test_mimic_knows_a_patient_and_a_study_by_number(tmp_path: Path) -> None:
    rows = ["123,1,files/a", "123.0,2.0,files/b", "124 ,3,files/c", "nan,4,files/d"]
    (tmp_path / "record_list.csv").write_text("\n".join(["subject_id,study_id,path", *rows]))
    (tmp_path / "labels.csv").write_text("study_id,class\n2,AF\n3.0,SR\n")
    found = list_source(settings_of(tmp_path, source_kind="mimic_iv_ecg"))
    assert [(e.key, e.patient_id, e.labels["class"]) for e in found.entries] == [
        ("1", "123", None),
        ("2", "123", ("AF",)),
        ("3", "124", ("SR",)),
        ("4", "files/d", None),
    ]


def test_cells_of_ptb_xl_that_pandas_has_rewritten_are_read(tmp_path: Path) -> None:
    (tmp_path / "scp_statements.csv").write_text(
        ",diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\nIMI,1.0,,,MI,IMI\n"
    )
    codes = "\"{'IMI': np.float64(100.0)}\""
    header = "ecg_id,patient_id,scp_codes,strat_fold,filename_lr"
    row = f"7,15709.0,{codes},8.0, records100\\00000\\00007_lr.hea"
    (tmp_path / "ptbxl_database.csv").write_text(f"{header}\n{row}\n")
    write_header(tmp_path / "records100" / "00000" / "00007_lr.hea")
    (entry,) = list_source(settings_of(tmp_path, source_kind="ptbxl")).entries
    assert (entry.patient_id, entry.fold) == ("15709", 8)
    assert entry.labels["superclass"] == ("MI",)
    assert entry.about["scp_codes"] == '{"IMI": 100.0}'


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Write a folder of two recordings among files of many other kinds."""
    source = tmp_path / "rec"
    source.mkdir()
    for name in ("a", "b"):
        write_record(source, name)
    (source / "notes.txt").write_text("seen by\n")
    (source / "old.xyz").write_bytes(b"\x00\x01\x02\xff")
    (source / "more.xyz").write_text("first line\nsecond")
    (source / "orphan.dat").write_bytes(b"\0" * 64)
    (source / "ages.csv").write_text("person,age\n1,2\n")
    (source / "empty.bin").touch()
    (source / "evil\x1b[31m.xyz").write_text("=cmd|' /C calc'!A0")
    os.mkfifo(source / "pipe.csv")
    os.mkfifo(source / "pipe")
    return source


def test_every_file_below_the_source_is_read_or_told(messy: Path) -> None:
    found = list_source(settings_of(messy))
    assert [entry.path for entry in found.entries] == ["a", "b"]
    told = {reject.name: reject.message for reject in found.rejects}
    files = {p.name for p in messy.iterdir()} - {"a.hea", "a.dat", "b.hea", "b.dat"}
    assert set(told) == files and {r.reason for r in found.rejects} == {"not_read"}
    assert "the bytes 00 01 02 ff" in told["old.xyz"]
    assert "'first line'" in told["more.xyz"] and "convert it" in told["more.xyz"]
    assert "without its header" in told["orphan.dat"]
    assert "table=" in told["ages.csv"] and "'person' and more" in told["ages.csv"]
    assert "pipe" in told["pipe.csv"] and "empty" in told["empty.bin"]


def test_the_end_of_a_build_accounts_for_files_patients_and_labels(messy: Path) -> None:
    (messy.parent / "t.csv").write_text("filename,AF,age\na,1,61\nb,,70\n")
    given = settings_of(
        messy, table=messy.parent / "t.csv", split={"train": 1, "val": 0, "test": 0}
    )
    lines = list(summary_lines(given.output, build_shards(given)))
    text = "\n".join(lines)
    assert "label set label: 1 classes" in text and "  AF: 1, 0, 0" in text
    assert "  unlabelled: 1, 0, 0" in text
    assert "look at: each file counts as its own patient" in text
    assert "not read 3 .xyz: " in text and "not read 1 .dat: orphan.dat" in text
    assert "\x1b" not in text
    corpus = Corpus(given.output)
    assert [corpus.sample(row).about["age"] for row in (0, 1)] == ["61", "70"]
    rejects = (given.output / "rejects.csv").read_text()
    assert "\x1b" not in rejects
    assert Counter(r.reason for r in read_rejects(given.output)) == {"not_read": 9}


def test_an_empty_split_is_told_with_its_reason(tmp_path: Path) -> None:
    source = tmp_path / "rec"
    source.mkdir()
    write_record(source, "a")
    summary = build_shards(settings_of(source))
    empty = [sentence for sentence in summary["doubts"] if "is empty" in sentence]
    assert len(empty) == 2 and all("1 patients are few for a share of" in s for s in empty)


def test_segments_of_a_record_are_no_recordings_of_their_own(tmp_path: Path) -> None:
    for name in ("m_1", "m_2", "other"):
        write_record(tmp_path, name)
    (tmp_path / "m.hea").write_text("m/3 2 100 1300\nm_1 600\n~ 100\nm_2 600\n")
    found = list_source(settings_of(tmp_path))
    assert [entry.path for entry in found.entries] == ["m", "other"]
    assert found.rejects == []


def test_folders_that_are_not_entered_are_told(
    messy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = messy.parent / "other"
    other.mkdir()
    write_record(other, "c")
    (messy / "link").symlink_to(other)
    (messy / "circle").symlink_to(messy)
    (messy / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list_source(settings_of(messy))
    assert [entry.path for entry in found.entries] == ["a", "b"]
    told = {reject.name: reject.message for reject in found.rejects}
    assert "not followed" in told["link"] and "not followed" in told["circle"]
    assert "closed folder" in told["closed"]

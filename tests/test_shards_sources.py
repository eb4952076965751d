import ast
import csv
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from lamae.errors import InputError
from shards.entries import Listing
from shards.settings import ShardsSettings
from shards.sources.kinds import list_source


def write(folder: Path, name: str, content: str = "") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def listing(folder: Path, kind: str, **settings: object) -> Listing:
    values = {"source": folder, "output": folder / "out", "source_kind": kind, **settings}
    return list_source(ShardsSettings.model_validate(values))


PTBXL_LABELS = """ecg_id,patient_id,strat_fold,superclass,form,filename
1,70,3,NORM;CD,,records100/00000/00001_lr
2,71,10,,LVOLT,records100/00000/00002_lr
3,72,1,MI,,records100/00000/00003_lr
"""


def test_ptbxl_joins_recordings_and_labels_and_names_what_lacks_the_other(tmp_path: Path) -> None:
    write(tmp_path, "labels.csv", PTBXL_LABELS)
    for number in (1, 2, 4):
        write(tmp_path, f"records100/00000/0000{number}_lr.hea")
    found = listing(tmp_path, "ptbxl")
    assert [(e.key, e.patient_id, e.fold, e.labels) for e in found.entries] == [
        ("00001_lr", "70", 3, {"superclass": ("NORM", "CD"), "form": ()}),
        ("00002_lr", "71", 10, {"superclass": (), "form": ("LVOLT",)}),
        ("00004_lr", "records100/00000/00004_lr", None, {"superclass": None, "form": None}),
    ]
    assert [(r.name, r.reason) for r in found.rejects] == [
        ("records100/00000/00003_lr", "label_row_without_record")
    ]
    assert found.without_label_row == 1


def write_database(folder: Path) -> None:
    header = "ecg_id,patient_id,age,height,report,scp_codes,strat_fold,filename_lr,filename_hr\n"
    codes = "\"{'IMI': 0.0, 'NDT': 100.0, 'SR': 0.0}\""
    row = f'7,15709.0,56.0,,"sinus, rhythmus",{codes},8,records100/7_lr,records500/7_hr\n'
    write(folder, "ptbxl_database.csv", header + row)
    statements = """,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
IMI,1.0,,,MI,IMI
NDT,1.0,1.0,,STTC,STTC
SR,,,1.0,,
"""
    write(folder, "scp_statements.csv", statements)


def test_ptbxl_labels_from_its_own_tables_follow_the_statements(tmp_path: Path) -> None:
    write_database(tmp_path)
    write(tmp_path, "records100/7_lr.hea")
    (entry,) = listing(tmp_path, "ptbxl").entries
    assert (entry.path, entry.patient_id, entry.fold) == ("records100/7_lr", "15709", 8)
    assert entry.labels == {
        "superclass": ("MI", "STTC"),
        "subclass": ("IMI", "STTC"),
        "form": ("NDT",),
        "rhythm": ("SR",),
        "statements": ("IMI", "NDT", "SR"),
    }
    assert json.loads(entry.about["scp_codes"]) == {"IMI": 0.0, "NDT": 100.0, "SR": 0.0}
    assert {k: v for k, v in entry.about.items() if k != "scp_codes"} == {
        "ecg_id": "7", "age": "56.0", "report": "sinus, rhythmus",
    }  # fmt: skip


def test_ptbxl_is_taken_at_500_hz_unless_the_user_chooses_100(tmp_path: Path) -> None:
    write_database(tmp_path)
    for path in ("records100/7_lr", "records500/7_hr"):
        write(tmp_path, f"{path}.hea")
    found = {
        records: listing(tmp_path, "ptbxl", records=records).entries
        for records in (None, "records100", "records500")
    }
    assert [entry.path for entry in found["records100"]] == ["records100/7_lr"]
    assert [entry.path for entry in found["records500"]] == ["records500/7_hr"]
    assert found[None] == found["records500"]
    (fast,), (slow,) = found["records500"], found["records100"]
    assert fast.origin == slow.origin == "ptb-xl/7"
    assert (fast.labels, fast.about) == (slow.labels, slow.about)


def test_ptbxl_of_a_plain_table_keeps_what_its_own_table_says_besides(tmp_path: Path) -> None:
    write_database(tmp_path)
    rows = "records100/7_lr,NORM\nrecords500/7_hr,NORM\n"
    write(tmp_path, "labels.csv", f"filename,superclass\n{rows}")
    for path in ("records100/7_lr", "records500/7_hr"):
        write(tmp_path, f"{path}.hea")
    (entry,) = listing(tmp_path, "ptbxl", records="records100").entries
    assert (entry.path, entry.labels) == ("records100/7_lr", {"superclass": ("NORM",)})
    assert (entry.about["age"], entry.origin) == ("56.0", "ptb-xl/7")


def test_ptbxl_that_names_a_recording_twice_is_refused(tmp_path: Path) -> None:
    write_database(tmp_path)
    path = tmp_path / "ptbxl_database.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    with pytest.raises(InputError, match=r"records500/7_hr in two rows"):
        listing(tmp_path, "ptbxl")


def test_superclasses_of_the_real_tables_are_those_published(
    shared_data: Path, tmp_path: Path
) -> None:
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        (tmp_path / name).symlink_to(shared_data / "ptbxl100" / name)
    with (tmp_path / "ptbxl_database.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        write(tmp_path, f"{row['filename_hr']}.hea")
    found = {entry.path: entry for entry in listing(tmp_path, "ptbxl").entries}
    with (shared_data / "ptbxl100" / "labels.csv").open() as file:
        published = {row["ecg_id"]: row for row in csv.DictReader(file)}
    differ = Counter[str]()
    for row in rows:
        entry, expected = found[row["filename_hr"]], published[row["ecg_id"]]
        assert entry.patient_id == expected["patient_id"]
        assert set(entry.labels["statements"] or ()) == set(ast.literal_eval(row["scp_codes"]))
        assert json.loads(entry.about["scp_codes"]) == ast.literal_eval(row["scp_codes"])
        assert entry.about.get("age", "") == row["age"]
        assert entry.origin == f"ptb-xl/{row['ecg_id']}"
        wanted = set(filter(None, expected["superclass"].split(";")))
        differ["superclass"] += set(entry.labels["superclass"] or ()) != wanted
    # The published tables leave three of these recordings without their superclasses.
    assert len(rows) == 5123 and differ["superclass"] <= 3


def test_ptbxl_without_a_file_name_is_refused_by_row(tmp_path: Path) -> None:
    header = "patient_id,scp_codes,strat_fold,filename_hr\n"
    write(tmp_path, "ptbxl_database.csv", header + "15709,{},8,\n")
    columns = "diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass"
    write(tmp_path, "scp_statements.csv", f",{columns}\n")
    with pytest.raises(InputError, match=r"ptbxl_database.*no filename_hr.*patient 15709"):
        listing(tmp_path, "ptbxl")


def test_a_table_does_not_lead_out_of_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(tmp_path, "elsewhere/1.hea")
    write(source, "records100/2.hea")
    paths = [f"{tmp_path}/elsewhere/1", "../elsewhere/1", "records100/../../elsewhere/1", "."]
    rows = [f"{path},NORM" for path in [*paths, "records100/2"]]
    write(source, "labels.csv", "\n".join(["filename,superclass", *rows]))
    studies = [f"7,{number},{path}" for number, path in enumerate([*paths, "records100/2"])]
    write(source, "record_list.csv", "\n".join(["subject_id,study_id,path", *studies]))
    table = source / "none.csv"
    write(source, "none.csv", "study_id,class\n4,AF\n")
    for found in (listing(source, "ptbxl"), listing(source, "mimic_iv_ecg", table=table)):
        assert [entry.path for entry in found.entries] == ["records100/2"]
        assert {(r.name, r.reason) for r in found.rejects} == {
            (path, "path_outside_source") for path in paths
        }


def test_in_a_tree_of_records_each_is_a_patient_unless_a_table_says_otherwise(
    tmp_path: Path,
) -> None:
    for name in ("b/2.hea", "a/1.hea", "a/1.dat"):
        write(tmp_path, name)
    assert [(e.key, e.patient_id) for e in listing(tmp_path, "folder").entries] == [
        ("a_1", "a/1"),
        ("b_2", "b/2"),
    ]
    write(tmp_path, "t.csv", "record,patient_id,age,class\na/1,P,60,AF\nb/2,P,61,\n")
    named = listing(tmp_path, "folder", table=tmp_path / "t.csv", label_columns=["class"])
    assert [(e.patient_id, e.labels) for e in named.entries] == [
        ("P", {"class": ("AF",)}),
        ("P", {"class": None}),
    ]


def test_recordings_of_different_paths_have_different_keys(tmp_path: Path) -> None:
    long = "x" * 200
    names = ("a/b", "a_b", "c", "\u60a3\u8005\u4e00", "\u60a3\u8005\u4e8c", f"{long}1", f"{long}2")
    for name in names:
        write(tmp_path, f"{name}.hea")
    found = listing(tmp_path, "folder")
    assert found.rejects == [] and {entry.path for entry in found.entries} == set(names)
    keys = [entry.key for entry in found.entries]
    assert len(set(keys)) == len(names) and max(map(len, keys)) <= 90
    assert "c" in keys


def test_a_name_that_is_no_text_is_a_reject(tmp_path: Path) -> None:
    write(tmp_path, "a.hea")
    (tmp_path / os.fsdecode(b"\xff.hea")).touch()
    found = listing(tmp_path, "folder")
    assert [entry.path for entry in found.entries] == ["a"]
    assert [(r.name, r.reason) for r in found.rejects] == [("\\udcff", "unreadable_name")]


@pytest.mark.parametrize("kind", ["ptbxl", "mimic_iv_ecg", "folder"])
def test_an_empty_or_missing_folder_is_refused(tmp_path: Path, kind: str) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"source .* Check source= and source_kind="):
            listing(folder, kind)


@pytest.mark.parametrize(
    "table",
    [
        "",
        "filename,superclass\n",
        "name,superclass\na,NORM\n",
        "filename,superclass\na,NORM\na,NORM\n",
        "filename,superclass\na\n",
        "filename,superclass\na,NORM,CD\n",
        "filename,strat_fold\na,first\n",
        'filename,superclass\n"a,NORM\n',
    ],
)
def test_a_bad_table_is_refused_by_name(tmp_path: Path, table: str) -> None:
    write(tmp_path, "labels.csv", table)
    with pytest.raises(InputError, match=r"table .*labels\.csv"):
        listing(tmp_path, "ptbxl")


def test_a_table_that_is_not_text_or_lacks_a_column_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.hea")
    (tmp_path / "t.csv").write_bytes(b"record,class\n\xff\xfe,1\n")
    with pytest.raises(InputError, match=r"t\.csv"):
        listing(tmp_path, "folder", table=tmp_path / "t.csv")
    write(tmp_path, "t.csv", "record,class\na,1\n")
    with pytest.raises(InputError, match="no column 'rhythm', which label_columns names"):
        listing(tmp_path, "folder", table=tmp_path / "t.csv", label_columns=["rhythm"])

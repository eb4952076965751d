from pathlib import Path
from typing import Any

import pytest

from lamae.errors import InputError
from shards.settings import LocalSource
from shards.tables.label_table import LabelTable, read_label_table


def table_of(folder: Path, text: str, **settings: Any) -> LabelTable:
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8")
    return read_label_table(path, LocalSource.model_validate({"source": folder} | settings))


def patients(table: LabelTable) -> list[str | None]:
    return [row.patient_id for row in table.rows.values()]


@pytest.mark.parametrize(
    "column",
    [
        "Patient_ID", "PatientID", "mrn", " patient_id", "MRN", "Patient Id", "patient-id", "PID",
        "Subject ID", "SUBJECT", "Participant", "patient.id",
    ],
)  # fmt: skip
def test_patients_are_found_by_any_usual_spelling(tmp_path: Path, column: str) -> None:
    table = table_of(tmp_path, f"filename,{column},diagnosis\na,P1,AF\nb,P1 ,AF\n")
    assert patients(table) == ["P1", "P1"] and table.label_sets == ("diagnosis",)
    assert f"patients: column {column.strip()}" in table.found


def test_a_column_that_may_name_the_patient_is_refused_until_it_is_named(tmp_path: Path) -> None:
    text = "filename,patient_ref,AF\na,P1,1\nb,P1,0\n"
    with pytest.raises(InputError, match=r"'patient_ref'.*patients='patient_ref'.*patients=none"):
        table_of(tmp_path, text)
    assert patients(table_of(tmp_path, text, patients="Patient Ref")) == ["P1", "P1"]
    none = table_of(tmp_path, text, patients="none")
    assert patients(none) == [None, None] and none.label_sets == ("label",)


@pytest.mark.parametrize("column", ["id", "Case", "code"])
def test_ids_that_return_are_refused_as_labels(tmp_path: Path, column: str) -> None:
    with pytest.raises(InputError, match=f"patients='{column}'"):
        table_of(tmp_path, f"filename,{column},AF\na,7,1\nb,7,0\n")
    once = table_of(tmp_path, f"filename,{column},AF\na,7,1\nb,8,0\n")
    assert once.label_sets == ("label",) and f"not used: {column}" in once.found


def test_a_patient_column_given_as_labels_is_refused(tmp_path: Path) -> None:
    text = "filename,MRN,AF\na,7,1\nb,7,0\n"
    with pytest.raises(InputError, match="'MRN' names the patient, and label_columns"):
        table_of(tmp_path, text, label_columns=["MRN"], patients=None, path_column="filename")


def test_a_table_without_patients_says_so(tmp_path: Path) -> None:
    table = table_of(tmp_path, "filename,AF\na,1\nb,0\n")
    assert table.doubts == (
        "each file counts as its own patient: the table has no column of patients",
    )


@pytest.mark.parametrize(("one", "other"), [("0001", "1"), ("p7", "P7"), ("007", "7.0")])
def test_ids_alike_but_for_zeros_or_case_are_never_guessed_about(
    tmp_path: Path, one: str, other: str
) -> None:
    with pytest.raises(InputError, match="may be one person"):
        table_of(tmp_path, f"filename,patient_id,AF\na,{one},1\nb,{other},0\n")


@pytest.mark.parametrize("cell", ["NaN", "None", "N/A", "null", "-", "", "<NA>", " nan "])
def test_marks_of_nothing_are_unlabelled_in_texts_and_in_columns_of_0_and_1(
    tmp_path: Path, cell: str
) -> None:
    table = table_of(tmp_path, f"filename,AF,diagnosis\na,1,MI\nb,{cell},{cell}\nc,0,MI\n")
    assert table.rows["b"].labels == {"label": None, "diagnosis": None}


def test_a_negative_name_means_examined_and_none_of_the_classes(tmp_path: Path) -> None:
    rows = "a,AF\nb,Normal\nc,none\nd,AF;normal\ne,\n"
    table = table_of(tmp_path, f"filename,x\n{rows}", negative=["normal", "NONE"])
    found = [row.labels["x"] for row in table.rows.values()]
    assert found == [("AF",), (), (), ("AF",), None]


def test_negative_numbers_need_no_quotes_and_truth_values_are_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path, "filename,grade\na,0\nb,2\n", negative=[0])
    assert [row.labels["grade"] for row in table.rows.values()] == [(), ("2",)]
    with pytest.raises(ValueError, match="put it in quotes"):
        table_of(tmp_path, "filename,grade\na,0\n", negative=[False])


@pytest.mark.parametrize("cell", ["['AF', 'MI']", "[]", "{'AF': 100.0}", "('AF', 'MI')", '["AF"]'])
def test_lists_as_python_writes_them_are_refused_with_a_remedy(tmp_path: Path, cell: str) -> None:
    quoted = '"' + cell.replace('"', '""') + '"'
    with pytest.raises(InputError, match=r"row 3: .*separate classes by semicolons"):
        table_of(tmp_path, f"filename,x\na,AF\nb,{quoted}\n")


@pytest.mark.parametrize(
    "column", ["sex", "Age", "age_years", "Patient Sex", "site", "device", "Recording Date", "BMI"]
)
def test_facts_about_a_person_are_kept_and_never_classes(tmp_path: Path, column: str) -> None:
    table = table_of(tmp_path, f"filename,{column},AF\na,1,1\nb,0,0\nc,NaN,1\n")
    assert table.label_sets == ("label",)
    assert [row.about for row in table.rows.values()] == [{column: "1"}, {column: "0"}, {}]
    assert [row.labels["label"] for row in table.rows.values()] == [("AF",), (), ("AF",)]


def test_numbers_of_many_values_and_texts_of_their_own_are_about_the_recording(
    tmp_path: Path,
) -> None:
    rows = "".join(f"r{i},{i / 8:.3f},seen on day {i},{i % 2},{i % 3}\n" for i in range(40))
    table = table_of(tmp_path, f"filename,qrs,finding,AF,grade\n{rows}")
    assert table.label_sets == ("label", "grade")
    assert table.rows["r3"].about == {"qrs": "0.375", "finding": "seen on day 3"}


def test_decimal_commas_are_numbers_in_tables_of_semicolons(tmp_path: Path) -> None:
    table = table_of(tmp_path, "filename;fold;age;AF\na;8,0;61,5;1,0\nb;9,0;70,0;0\n")
    assert [row.fold for row in table.rows.values()] == [8, 9]
    assert [row.about for row in table.rows.values()] == [{"age": "61.5"}, {"age": "70"}]


def test_names_of_people_go_nowhere(tmp_path: Path) -> None:
    table = table_of(tmp_path, "filename,Name,Date of Birth,AF\na,Ada,1815-12-10,1\nb,Bo,,0\n")
    assert "Ada" not in repr(table) and "1815" not in repr(table)
    assert "not used: Name, Date of Birth" in table.found


def test_an_uncertain_finding_is_unlabelled_and_counted(tmp_path: Path) -> None:
    table = table_of(tmp_path, "filename,AF,MI\na,1,0\nb,-1,0\nc,0,1\n")
    assert [row.labels["label"] for row in table.rows.values()] == [("AF",), None, ("MI",)]
    assert "AF: 1 rows of -1 are unlabelled, as empty cells are" in table.doubts


def test_spellings_of_a_class_and_a_class_named_none_are_told(tmp_path: Path) -> None:
    text = "filename,x,none\na,AF,1\nb,af,0\nc,None,1\n"
    doubts = " | ".join(table_of(tmp_path, text).doubts)
    assert "x: AF, af are different classes" in doubts
    assert "x: cells of None (1) are unlabelled" in doubts
    assert "label: a class named none cannot be learned" in doubts


def test_rows_without_a_name_are_rejects_with_their_row(tmp_path: Path) -> None:
    table = table_of(tmp_path, "filename,AF\na,1\n,1\nNaN,0\n")
    assert list(table.rows) == ["a"]
    assert [(r.name, r.reason) for r in table.rejects] == [
        ("t.csv row 3", "row_without_name"),
        ("t.csv row 4", "row_without_name"),
    ]


@pytest.mark.parametrize("column", ["file", "ecg_path", "File Path", "RECORD", "filename"])
def test_the_recording_is_found_by_any_usual_name(tmp_path: Path, column: str) -> None:
    assert list(table_of(tmp_path, f"AF,{column}\n1,a\n0,b\n").rows) == ["a", "b"]


def test_columns_that_are_named_and_absent_are_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'diagnose', which label_columns.*Did you mean 'diagno"):
        table_of(tmp_path, "filename,diagnosis\na,1\n", label_columns=["diagnose"])
    with pytest.raises(InputError, match=r"no column of filename.*it has where, AF.*path_column="):
        table_of(tmp_path, "where,AF\na,1\nb,0\n")
    assert list(table_of(tmp_path, "where,AF\na,1\n", path_column="Where").rows) == ["a"]


def test_patients_name_the_recordings_where_nothing_else_does(tmp_path: Path) -> None:
    table = table_of(tmp_path, "patient_id,AF\n17,1\n18,0\n")
    assert list(table.rows) == patients(table) == ["17", "18"]
    with pytest.raises(InputError, match="path_column="):
        table_of(tmp_path, "patient_id,AF\n17,1\n17,0\n")

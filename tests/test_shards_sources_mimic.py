import pickle
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


RECORD_LIST = """subject_id,study_id,file_name,ecg_time,path
10000032,40689238,40689238,2180-07-23 08:44:00,files/p1000/p10000032/s40689238/40689238
10000980,41014645,41014645,2185-01-01 00:00:00,files/p1000/p10000980/s41014645/41014645
"""


def test_mimic_takes_patients_from_the_record_list_and_labels_from_beside_it(
    tmp_path: Path,
) -> None:
    write(tmp_path, "record_list.csv", RECORD_LIST)
    write(tmp_path, "labels.csv", "study_id,subject_id,class\n41014645,10000980,AF\n9,9,AF\n")
    found = listing(tmp_path, "mimic_iv_ecg")
    assert [(e.key, e.patient_id, e.labels["class"]) for e in found.entries] == [
        ("40689238", "10000032", None),
        ("41014645", "10000980", ("AF",)),
    ]
    assert found.entries[0].path == "files/p1000/p10000032/s40689238/40689238"
    assert [(r.name, r.reason) for r in found.rejects] == [("9", "label_row_without_record")]
    assert found.without_label_row == 1


def test_mimic_rows_without_a_study_or_patient_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "record_list.csv", f"{RECORD_LIST}1,,,,files/a\n,2,,,files/b\n3,3,,,\n")
    found = listing(tmp_path, "mimic_iv_ecg")
    assert [(entry.key, entry.patient_id) for entry in found.entries] == [
        ("40689238", "10000032"),
        ("41014645", "10000980"),
        ("2", "files/b"),
    ]
    assert found.without_patient == 1
    assert [(r.name, r.reason) for r in found.rejects] == [
        ("files/a", "no_identifier"),
        ("", "path_outside_source"),
    ]


def test_mimic_without_labels_has_no_label_sets(tmp_path: Path) -> None:
    write(tmp_path, "record_list.csv", RECORD_LIST)
    found = listing(tmp_path, "mimic_iv_ecg")
    assert [entry.labels for entry in found.entries] == [{}, {}]
    assert (found.rejects, found.without_label_row) == ([], 0)


MEASUREMENTS = """subject_id,study_id,cart_id,report_0,report_1,report_2,filtering,rr_interval
10000980,41014645,7,,,,,
10000032,40689238,6848296,Sinus rhythm,"LBBB, new",,60 Hz notch,659
"""


def test_mimic_measurements_are_joined_by_study_without_empty_cells(tmp_path: Path) -> None:
    write(tmp_path, "record_list.csv", RECORD_LIST)
    assert [dict(entry.about) for entry in listing(tmp_path, "mimic_iv_ecg").entries] == [{}, {}]
    write(tmp_path, "machine_measurements.csv", MEASUREMENTS)
    found = listing(tmp_path, "mimic_iv_ecg")
    assert [dict(entry.about) for entry in found.entries] == [
        {
            "report": "Sinus rhythm; LBBB, new",
            "cart_id": "6848296",
            "filtering": "60 Hz notch",
            "rr_interval": "659",
        },
        {"cart_id": "7"},
    ]
    assert found.rejects == []


def test_mimic_entries_travel_between_processes_and_read_the_same_in_every_run(
    tmp_path: Path,
) -> None:
    write(tmp_path, "record_list.csv", RECORD_LIST)
    write(tmp_path, "machine_measurements.csv", MEASUREMENTS)
    first, second = (listing(tmp_path, "mimic_iv_ecg").entries for _ in range(2))
    assert repr(first) == repr(second)
    assert pickle.loads(pickle.dumps(first)) == first


DIAGNOSES = """,study_id,ed_diag_ed,ed_diag_hosp,hosp_diag_hosp,all_diag_hosp,all_diag_all,fold
0,41014645,"['I10', 'E785']",[],[],[],"['I10', 'E785']",19
"""


def test_mimic_diagnoses_are_label_sets_and_no_linked_stay_is_unlabelled(tmp_path: Path) -> None:
    write(tmp_path, "record_list.csv", RECORD_LIST)
    write(tmp_path, "labels.csv", "study_id,class\n40689238,AF\n41014645,\n")
    write(tmp_path, "d/diagnoses.csv", DIAGNOSES)
    found = listing(tmp_path, "mimic_iv_ecg", diagnoses=tmp_path / "d" / "diagnoses.csv")
    none = dict.fromkeys(("ed_diag_ed", "ed_diag_hosp", "hosp_diag_hosp", "all_diag_hosp"))
    codes = ("I10", "E785")
    assert [(entry.fold, entry.labels) for entry in found.entries] == [
        (None, {"class": ("AF",), "all_diag_all": None, **none}),
        (19, {"class": None, **none, "ed_diag_ed": codes, "all_diag_all": codes}),
    ]
    assert found.without_label_row == 1


def test_mimic_rows_that_repeat_or_name_no_recording_are_counted(tmp_path: Path) -> None:
    listed = RECORD_LIST.splitlines()
    again = "10000032,40689238,40689238,2180-07-23 08:44:00,elsewhere/40689238"
    write(tmp_path, "record_list.csv", "\n".join([*listed, listed[1], again]))
    measured = f"{MEASUREMENTS}1,40689238,,,,,,\n1,4,,,,,,\n"
    write(tmp_path, "machine_measurements.csv", measured)
    write(
        tmp_path,
        "d/diagnoses.csv",
        f"{DIAGNOSES}1,41014645,[],[],[],[],[],3\n2,5,[],[],[],[],[],3\n",
    )
    found = listing(tmp_path, "mimic_iv_ecg", diagnoses=tmp_path / "d" / "diagnoses.csv")
    assert [entry.path for entry in found.entries] == [line.split(",")[-1] for line in listed[1:]]
    assert found.entries[0].about["rr_interval"] == "659"
    assert found.entries[1].fold == 19
    assert sorted((reject.name, reject.reason) for reject in found.rejects) == [
        ("4", "row_without_record"),
        ("40689238", "duplicate_row"),
        ("41014645", "duplicate_row"),
        ("5", "row_without_record"),
        ("elsewhere/40689238", "duplicate_key"),
        (found.entries[0].path, "duplicate_row"),
    ]


def test_mimic_of_the_demo_has_one_level_less(tmp_path: Path) -> None:
    write(tmp_path, "record_list.csv", RECORD_LIST.replace("p1000/", ""))
    found = listing(tmp_path, "mimic_iv_ecg")
    assert found.entries[0].path == "files/p10000032/s40689238/40689238"


@pytest.mark.parametrize(
    ("old", "new"), [("['I10', 'E785']", "I10;E785"), (",19", ",x"), ("all_diag_all", "all")]
)
def test_mimic_diagnoses_of_another_form_are_refused(tmp_path: Path, old: str, new: str) -> None:
    write(tmp_path, "record_list.csv", RECORD_LIST)
    write(tmp_path, "d/diagnoses.csv", DIAGNOSES.replace(old, new))
    with pytest.raises(InputError, match=r"table .*diagnoses\.csv"):
        listing(tmp_path, "mimic_iv_ecg", diagnoses=tmp_path / "d" / "diagnoses.csv")

import csv
from pathlib import Path

import numpy as np
import pytest

from lamae.errors import InputError
from shards.build.read import read_entry
from shards.entries import Listing
from shards.settings import ShardsSettings
from shards.sources.kinds import list_source


def settings(folder: Path, kind: str, **changes: object) -> ShardsSettings:
    values = {"source": folder, "output": folder / "out", "source_kind": kind, **changes}
    return ShardsSettings.model_validate(values)


def listing(folder: Path, kind: str, **changes: object) -> Listing:
    return list_source(settings(folder, kind, **changes))


def write(folder: Path, name: str, *comments: str, signal: str = ".mat") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    line = f"{path.name}.mat 16+24 1000/mV 16 0 0 0 0 I"
    path.with_suffix(".hea").write_text("\n".join([f"{path.name} 1 500 9", line, *comments]))
    path.with_suffix(signal).write_bytes(bytes(24 + 18))


@pytest.mark.parametrize(
    ("comment", "classes"),
    [
        ("#Dx: 426783006", ("426783006",)),
        ("# Dx: 251146004,284470004,284470004", ("251146004", "284470004")),
        ("#Dx:89792004, 427084000,,427172004 ", ("89792004", "427084000", "427172004")),
        ("#dx : AF,RBBB\r", ("AF", "RBBB")),
        ("#Dx:", None),
        ("#Dx: ", None),
        ("#Dx: Unknown", None),
        ("#Dxs: AF", None),
        ("AF", None),
    ],
)
def test_challenge_labels_are_what_the_header_lists(
    tmp_path: Path, comment: str, classes: tuple[str, ...] | None
) -> None:
    write(tmp_path, "E00001", "#Age: 52", "# Sex:Female", comment)
    (entry,) = listing(tmp_path, "challenge").entries
    assert entry.labels == {"dx": classes}
    assert entry.about == {"age": "52", "sex": "Female"}


def test_challenge_records_of_any_nesting_are_their_own_patients_and_know_their_origin(
    tmp_path: Path,
) -> None:
    for path in ("ptb-xl/g1/HR00012", "cpsc_2018/g1/A0001", "georgia/E00001", "Q0001"):
        write(tmp_path, path, "#Age: NaN", "#Sex: Unknown")
    found = listing(tmp_path, "challenge").entries
    assert [(e.key, e.patient_id, e.origin) for e in found] == [
        ("Q0001", "Q0001", ""),
        ("A0001", "A0001", "cpsc-2018/A0001"),
        ("E00001", "E00001", ""),
        ("HR00012", "HR00012", "ptb-xl/12"),
    ]
    assert all(entry.about == {} for entry in found)


def test_copies_and_headers_without_a_signal_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "a/E00001", "#Dx: AF")
    write(tmp_path, "b/E00001", "#Dx: STD")
    write(tmp_path, "c/E00002", signal=".txt")
    write(tmp_path, "d/E00003", signal=".dat")
    found = listing(tmp_path, "challenge")
    assert [entry.path for entry in found.entries] == ["a/E00001", "d/E00003"]
    assert {(reject.name, reject.reason) for reject in found.rejects} == {
        ("b/E00001", "duplicate_key"),
        ("c/E00002", "missing_signal_file"),
    }


def test_a_table_adds_labels_and_patients_to_the_challenge(tmp_path: Path) -> None:
    for name in ("a/E00001", "a/E00002"):
        write(tmp_path, name, "#Dx: AF")
    (tmp_path / "t.csv").write_text("record,patient_id,grade\nE00002,P,high\na/E00009,,low\n")
    found = listing(tmp_path, "challenge", table=tmp_path / "t.csv")
    assert [(e.patient_id, e.labels) for e in found.entries] == [
        ("E00001", {"grade": None, "dx": ("AF",)}),
        ("P", {"grade": ("high",), "dx": ("AF",)}),
    ]
    assert [reject.reason for reject in found.rejects] == ["label_row_without_record"]


def test_the_real_challenge_is_read_as_its_index_says(shared_data: Path) -> None:
    chosen = settings(shared_data / "challenge2021", "challenge")
    entries = {entry.path: entry for entry in list_source(chosen).entries}
    with (shared_data / "challenge2021" / "index.csv").open() as file:
        index = {row["path"]: row for row in csv.DictReader(file)}
    assert entries.keys() == index.keys() and len(index) == 106
    for path, row in index.items():
        entry = entries[path]
        codes = [code for code in row["dx_snomed"].split(",") if code]
        assert set(entry.labels["dx"] or ()) == set(codes)
        assert entry.about.get("age", "NaN") == (row["age"] or "NaN")
        assert entry.about["sex"] == row["sex"]
        record, _, dropped, notes = read_entry(entry, chosen)
        assert (record.sampling_rate, record.digital.shape) == (
            int(row["fs"]),
            (int(row["n_sig"]), int(row["n_samples"])),
        )
        assert (dropped, notes) == ((), ())


def test_the_real_bad_inputs_are_read_with_the_leads_they_have(shared_data: Path) -> None:
    chosen = settings(shared_data / "bad_inputs", "challenge")
    numbers = {"two_leads": 2, "three_leads": 3, "four_leads": 4, "six_leads": 6}
    entries = list_source(chosen).entries
    assert len(entries) == len(list((shared_data / "bad_inputs").rglob("*.hea"))) == 13
    for entry in entries:
        reading = read_entry(entry, chosen)
        folder = entry.path.split("/")[-2]
        assert len(reading.record.leads) == numbers.get(folder, 12)
        header = (shared_data / "bad_inputs" / f"{entry.path}.hea").read_text()
        assert bool(reading.notes) == header.split()[0].endswith(".mat")
    unlabelled = {entry.key for entry in entries if entry.labels["dx"] is None}
    assert unlabelled == {"E00001", "HR00001", "HR00003", "S0002"}


REFERENCE = "Recording,First_label,Second_label,Third_label\nA0001,5,,\nA0002,2,5,9\nA0009,1,,\n"
ONE_COLUMN_EACH = """record,age,Normal,AF,I-AVB,LBBB,RBBB,PAC,PVC,STD,STE
A0001,74,0,0,0,0,1,0,0,0,0
A0002,60,0,1,0,0,1,0,0,0,1
A0009,60,1,0,0,0,0,0,0,0,0
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("REFERENCE.csv", REFERENCE),
        ("TrainingSet3/REFERENCE.csv", REFERENCE),
        ("labels.csv", ONE_COLUMN_EACH),
        ("labels.csv", "record,cpsc2018\nA0001,RBBB\nA0002,AF;RBBB;STE\nA0009,Normal\n"),
    ],
)
@pytest.mark.parametrize("original", [False, True])
def test_cpsc2018_takes_up_to_three_classes_from_a_table(
    tmp_path: Path, name: str, content: str, original: bool
) -> None:
    for record in ("A0001", "A0002", "A0003"):
        write(tmp_path, f"TrainingSet1/{record}", "#Dx: PVC", "#Age: 74")
        if original:
            (tmp_path / "TrainingSet1" / f"{record}.hea").unlink()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    found = listing(tmp_path, "cpsc2018")
    assert [(e.key, e.patient_id, e.origin, e.labels["cpsc2018"]) for e in found.entries] == [
        ("A0001", "A0001", "cpsc-2018/A0001", ("RBBB",)),
        ("A0002", "A0002", "cpsc-2018/A0002", ("AF", "RBBB", "STE")),
        ("A0003", "A0003", "cpsc-2018/A0003", None if original else ("PVC",)),
    ]
    assert {entry.reader for entry in found.entries} == {"icbeb" if original else "wfdb"}
    assert [(r.name, r.reason) for r in found.rejects] == [("A0009", "label_row_without_record")]
    assert found.without_label_row == 1


@pytest.mark.parametrize(
    "content",
    [
        "Recording,First_label\nA0001,10\n",
        "Recording,First_label\nA0001,1\nA0001,1\n",
        "Recording,First_label\n",
        ONE_COLUMN_EACH.replace("74,0", "74,2"),
        ONE_COLUMN_EACH.replace("A0002", "A0001"),
    ],
)
def test_cpsc2018_refuses_a_table_of_other_values(tmp_path: Path, content: str) -> None:
    write(tmp_path, "A0001")
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(InputError, match=r"table .*labels\.csv"):
        listing(tmp_path, "cpsc2018")


def test_cpsc2018_refuses_references_that_disagree(tmp_path: Path) -> None:
    write(tmp_path, "A0001")
    for number in (1, 2):
        path = tmp_path / f"TrainingSet{number}" / "REFERENCE.csv"
        path.parent.mkdir()
        path.write_text(f"Recording,First_label\nA0001,{number}\n")
    with pytest.raises(InputError, match="other classes of A0001"):
        listing(tmp_path, "cpsc2018")


@pytest.mark.parametrize("kind", ["challenge", "cpsc2018"])
def test_a_folder_without_records_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "other.txt").touch()
    with pytest.raises(InputError, match="Check source= and source_kind="):
        listing(tmp_path, kind)


def test_real_cpsc2018_classes_are_the_same_from_all_four_places(
    shared_data: Path, tmp_path: Path
) -> None:
    real = shared_data / "cpsc2018"
    for kind in ("table", "names", "codes"):
        (tmp_path / kind).mkdir()
        headers = real / "headers_snomed" if kind == "codes" else real
        for path in (*headers.glob("*.hea"), *real.glob("*.mat")):
            (tmp_path / kind / path.name).symlink_to(path)
    (tmp_path / "table" / "labels.csv").symlink_to(real / "labels.csv")
    found = {
        kind: {e.key: set(e.labels["cpsc2018"] or ()) for e in listing(folder, "cpsc2018").entries}
        for kind, folder in [("reference", real), *((p.name, p) for p in tmp_path.iterdir())]
    }
    assert len(found["reference"]) == 100 and all(found["reference"].values())
    assert found["table"] == found["names"] == found["codes"] == found["reference"]


def test_real_cpsc2018_records_have_the_lengths_of_their_table(shared_data: Path) -> None:
    chosen = settings(shared_data / "cpsc2018", "cpsc2018")
    found = list_source(chosen)
    with (shared_data / "cpsc2018" / "labels.csv").open() as file:
        rows = {row["record"]: row for row in csv.DictReader(file)}
    for entry in found.entries:
        reading = read_entry(entry, chosen)
        assert reading.record.digital.shape == (12, int(rows[entry.key]["n_samples"]))
        assert entry.about == {"age": rows[entry.key]["age"], "sex": rows[entry.key]["sex"]}
    headers_alone = [r for r in found.rejects if r.name.startswith("headers_snomed/")]
    assert len(headers_alone) == len(found.rejects) == 100


def test_real_original_recordings_of_cpsc2018_are_read(shared_data: Path) -> None:
    chosen = settings(shared_data / "cpsc2018_icbeb_native", "cpsc2018")
    entries = list_source(chosen).entries
    assert [entry.origin for entry in entries] == [f"cpsc-2018/A{n}" for n in range(1980, 1985)]
    for entry in entries:
        signal = read_entry(entry, chosen).record.signal_mv()
        assert signal.shape[0] == 12 and not np.isnan(signal).any()

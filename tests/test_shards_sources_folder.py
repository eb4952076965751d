import csv
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.errors import InputError, RecordError
from shards.build.read import read_entry
from shards.entries import Listing
from shards.settings import ShardsSettings
from shards.simulator.data_set import simulate
from shards.simulator.settings import SimulateSettings
from shards.sources.kinds import list_source
from shards.tables.label_table import LabelTable, read_label_table

INTEGERS = np.random.default_rng(0).integers(-2000, 2000, (12, 60)).astype(np.int16)
ARRAYS = {"sampling_rate": 100}


def write(folder: Path, name: str, content: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def settings_of(folder: Path, kind: str = "folder", **settings: object) -> ShardsSettings:
    values = {"source": folder, "output": folder / "out", "source_kind": kind, "arrays": ARRAYS}
    return ShardsSettings.model_validate(values | settings)


def listing(folder: Path, kind: str = "folder", **settings: object) -> Listing:
    return list_source(settings_of(folder, kind, **settings))


def label_table(path: Path, **settings: object) -> LabelTable:
    return read_label_table(path, settings_of(path.parent, "folder", **settings))


def write_arrays(folder: Path) -> None:
    """Write one recording in each format of arrays: a.npy, b.csv and c.h5."""
    signal = INTEGERS / 1000
    np.save(folder / "a.npy", signal)
    header = ",".join(["time", *LEADS])
    times = np.arange(60)[:, None] / 100
    table = np.hstack([times, signal.T])
    np.savetxt(folder / "b.csv", table, fmt="%.3f", delimiter=",", header=header, comments="")
    with h5py.File(folder / "c.h5", "w") as file:
        file["tracings"] = signal.T


def test_recordings_of_every_format_are_read_to_the_same_integers(tmp_path: Path) -> None:
    write_arrays(tmp_path)
    entries = listing(tmp_path).entries
    assert [(e.key, e.path, e.reader) for e in entries] == [
        ("a", "a.npy", "npy"),
        ("b", "b.csv", "csv"),
        ("c", "c.h5", "hdf5"),
    ]
    for entry in entries:
        reading = read_entry(entry, settings_of(tmp_path))
        assert np.array_equal(reading.record.digital, INTEGERS) and reading.notes == ()
        assert reading.files == (tmp_path / entry.path,)


def test_wfdb_records_lie_beside_arrays_of_the_same_name(tmp_path: Path) -> None:
    simulated = {"output": tmp_path / "s", "records": 2, "sampling_rate": 100, "duration_s": 5}
    simulate(SimulateSettings.model_validate(simulated))
    (wfdb, _) = listing(tmp_path).entries
    np.save(tmp_path / f"{wfdb.path}.npy", INTEGERS / 1000)
    found = {entry.path: entry for entry in listing(tmp_path).entries}
    assert len(found) == 3 and found[wfdb.path].reader == "wfdb"
    assert found[f"{wfdb.path}.npy"].key == f"{found[wfdb.path].key}_npy"
    for entry in found.values():
        read_entry(entry, settings_of(tmp_path))


def test_a_table_names_files_with_or_without_ending(tmp_path: Path) -> None:
    write_arrays(tmp_path)
    for name in ("d.hea", "sub/e.1.hea"):
        write(tmp_path, name)
    rows = [
        "a.npy,P,train,NORM",
        "./b,P,Training,",
        "c,Q,,MI;CD",
        "d.dat,R,dev,MI",
        "sub/e.1,S,test,",
    ]
    table = write(tmp_path, "t.csv", "\n".join(["path,patient,split,finding", *rows]))
    found = listing(tmp_path, table=table)
    assert found.rejects == [] and found.without_label_row == found.without_patient == 0
    assert [(e.path, e.patient_id, e.split, e.labels["finding"]) for e in found.entries] == [
        ("a.npy", "P", "train", ("NORM",)),
        ("b.csv", "P", "train", None),
        ("c.h5", "Q", None, ("MI", "CD")),
        ("d", "R", "val", ("MI",)),
        ("sub/e.1", "S", "test", None),
    ]


def test_without_patients_each_recording_is_its_own_and_rows_without_a_file_are_named(
    tmp_path: Path,
) -> None:
    write_arrays(tmp_path)
    table = write(tmp_path, "t.csv", "filename,x\na,NORM\nz,MI\n../y,MI\n")
    found = listing(tmp_path, table=table, min_matched=0.3)
    assert found.without_patient == 3
    assert [(e.patient_id, e.labels["x"]) for e in found.entries] == [
        ("a.npy", ("NORM",)),
        ("b.csv", None),
        ("c.h5", None),
    ]
    assert [(r.name, r.reason) for r in found.rejects] == [
        ("z", "label_row_without_record"),
        ("../y", "path_outside_source"),
    ]
    assert found.without_label_row == 2


def test_one_file_under_two_names_in_a_table_is_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path)
    table = write(tmp_path, "t.csv", "path,x\na,NORM\na.npy,MI\n")
    with pytest.raises(InputError, match=r"a\.npy in two rows"):
        listing(tmp_path, table=table)


def test_tables_of_anything_else_are_no_recordings(tmp_path: Path) -> None:
    write_arrays(tmp_path)
    write(tmp_path, "labels.csv", "record,age,AF\na,60,1\n")
    write(tmp_path, "RECORDS.csv", "")
    assert [entry.path for entry in listing(tmp_path).entries] == ["a.npy", "b.csv", "c.h5"]


def test_arrays_without_a_rate_need_one_before_any_is_read(tmp_path: Path) -> None:
    write_arrays(tmp_path)
    (tmp_path / "b.csv").rename(tmp_path / "b.txt")
    (tmp_path / "b.txt").write_text("notes\n")
    with pytest.raises(InputError, match=r"Set arrays\.sampling_rate"):
        listing(tmp_path, arrays={})
    write(tmp_path, "d.hea")
    mixed = listing(tmp_path, arrays={}).entries
    assert len(mixed) == 3
    with pytest.raises(RecordError, match=r"Set arrays\.sampling_rate"):
        read_entry(mixed[0], settings_of(tmp_path, arrays={}))


RATES_IN_CSV = {
    "a time in seconds": "Time (s),I\n" + "".join(f"{n / 50:.2f},{n % 7}\n" for n in range(60)),
    "milliseconds": "time [ms];I\n" + "".join(f"{n * 20};{n % 7},5\n" for n in range(60)),
    "a fact above": "Sampling rate,50\n\nI,II\n" + "".join(f"{n % 7},1\n" for n in range(60)),
}


@pytest.mark.parametrize("text", RATES_IN_CSV.values(), ids=RATES_IN_CSV)
def test_a_csv_file_that_holds_its_rate_needs_none_from_the_user_beside_other_arrays(
    tmp_path: Path, text: str
) -> None:
    np.save(tmp_path / "a.npy", INTEGERS / 1000)
    write(tmp_path, "b.csv", text)
    array, table = listing(tmp_path, arrays={}).entries
    assert read_entry(table, settings_of(tmp_path, arrays={})).record.sampling_rate == 50
    with pytest.raises(RecordError, match=r"Set arrays\.sampling_rate"):
        read_entry(array, settings_of(tmp_path, arrays={}))


PROSE = {
    "README.md": "# Leads\n\n| two leads (I, II) | I, II, V2 |\nFour of them, I and II\n",
    "notes.txt": "I, II\nwere recorded by hand\n",
    "leads.rst": "Leads: I\n",
}


@pytest.mark.parametrize("name", PROSE)
def test_a_text_that_speaks_of_leads_is_no_recording(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "a.npy", INTEGERS / 1000)
    write(tmp_path, name, PROSE[name])
    found = listing(tmp_path)
    assert [entry.path for entry in found.entries] == ["a.npy"]
    assert [(reject.name, reject.reason) for reject in found.rejects] == [(name, "not_read")]
    write(tmp_path, name, "I,II\n" + "1,2\n" * 600)
    assert len(listing(tmp_path).entries) == 2


def test_columns_of_0_and_1_are_the_classes_of_one_label_set(tmp_path: Path) -> None:
    rows = ["a,1,True,0.0,NORM", "b,0,False,1,", "c,,True,1,MI"]
    path = write(tmp_path, "t.csv", "\n".join(["record,AF,RBBB,VT,text", *rows]))
    table = label_table(path)
    assert table.label_sets == ("label", "text")
    assert {name: row.labels for name, row in table.rows.items()} == {
        "a": {"label": ("AF", "RBBB"), "text": ("NORM",)},
        "b": {"label": ("VT",), "text": None},
        "c": {"label": None, "text": ("MI",)},
    }
    chosen = label_table(path, label_columns=["VT", "AF"])
    assert chosen.label_sets == ("label",) and chosen.rows["a"].labels == {"label": ("AF",)}


def test_columns_with_other_numbers_or_nothing_are_label_sets_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "record,grade,other\na,0,\nb,1,\nc,2,\n")
    table = label_table(path)
    assert table.label_sets == ("grade", "other")
    assert table.rows["b"].labels == {"grade": ("1",), "other": None}


def test_a_label_set_that_two_columns_would_make_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "record,label,AF\na,NORM,1\n")
    with pytest.raises(InputError, match="AF, beside a column label"):
        label_table(path)
    assert label_table(path, label_columns=["AF"]).rows["a"].labels == {"label": ("AF",)}


def test_a_split_of_another_name_is_refused_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", 'record,split,x\na,valid,"1\n2"\nb,holdout,\n')
    with pytest.raises(InputError, match="row 3: split 'holdout' is none of train"):
        label_table(path)


def test_the_real_brugada_table_gives_each_patient_a_recording(shared_data: Path) -> None:
    folder = shared_data / "brugada_huca"
    with (folder / "metadata.csv").open() as file:
        rows = {row["patient_id"]: row for row in csv.DictReader(file)}
    found = listing(folder, "brugada_huca")
    assert len(found.entries) == len(rows) == 254 and found.without_label_row == 0
    assert found.rejects == []
    for entry in found.entries:
        row = rows[entry.patient_id]
        assert entry.path == f"files/{entry.patient_id}/{entry.patient_id}"
        names = ("brugada", "sudden_death", "basal_pattern")
        assert entry.labels == {name: (row[name],) for name in names}
    grades = Counter(entry.labels["brugada"] for entry in found.entries)
    assert grades == Counter((row["brugada"],) for row in rows.values())
    record = read_entry(found.entries[0], settings_of(folder, "brugada_huca")).record
    assert (record.leads, record.sampling_rate, record.duration_s) == (LEADS, 100, 12.0)


def test_a_brugada_patient_without_a_recording_or_a_row_is_named(tmp_path: Path) -> None:
    write(tmp_path, "files/1/1.hea")
    write(tmp_path, "files/2/2.hea")
    write(
        tmp_path, "metadata.csv", "patient_id,basal_pattern,sudden_death,brugada\n1,0,1,\n3,0,0,2\n"
    )
    found = listing(tmp_path, "brugada_huca")
    labels = {"brugada": None, "sudden_death": ("1",), "basal_pattern": ("0",)}
    assert [(e.patient_id, e.labels) for e in found.entries] == [
        ("1", labels),
        ("2", dict.fromkeys(labels)),
    ]
    assert [(r.name, r.reason) for r in found.rejects] == [
        ("files/3/3", "label_row_without_record")
    ]
    with pytest.raises(InputError, match="metadata"):
        listing(tmp_path / "files", "brugada_huca")

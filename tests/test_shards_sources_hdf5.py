import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from lamae.errors import InputError, RecordError
from lamae.readers.wfdb.record_files import read_wfdb
from shards.build.read import read_entry
from shards.entries import Listing
from shards.settings import ShardsSettings
from shards.simulator.data_set import simulate
from shards.simulator.settings import SimulateSettings
from shards.sources.code15 import CLASSES
from shards.sources.kinds import list_source

INTEGERS = np.random.default_rng(0).integers(-2000, 2000, (4, 12, 60)).astype(np.int16)
COLUMNS = ("exam_id", "age", "is_male", *CLASSES, "patient_id", "trace_file")


def settings_of(folder: Path, kind: str, **arrays: object) -> ShardsSettings:
    values = {"source": folder, "output": folder / "out", "source_kind": kind}
    return ShardsSettings.model_validate(values | {"arrays": arrays})


def listing(folder: Path, kind: str, **arrays: object) -> Listing:
    return list_source(settings_of(folder, kind, **arrays))


def write_part(path: Path, exams: list[int], signals: list[np.ndarray]) -> None:
    """Write signals (leads, samples) as a part of CODE-15%: zero-padded, a filler exam last."""
    tracings = np.zeros((len(exams) + 1, 4096, 12), np.float32)
    for row, signal in zip(tracings, signals, strict=False):
        start = (4096 - signal.shape[1]) // 2
        row[start : start + signal.shape[1]] = signal.T
    with h5py.File(path, "w") as file:
        file.create_dataset("tracings", data=tracings, compression="gzip", shuffle=True)
        file["exam_id"] = np.array([*exams, 0])


def write_exams(folder: Path, rows: list[tuple[object, ...]]) -> None:
    with (folder / "exams.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


@pytest.fixture(scope="module")
def code15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two parts of simulated exams, a table of them, and what a copy often lacks."""
    folder = tmp_path_factory.mktemp("code15")
    source = {"output": folder / "s", "records": 3, "sampling_rate": 400, "duration_s": 7.335}
    simulate(SimulateSettings.model_validate(source))
    headers = sorted((folder / "s").rglob("*.hea"))
    signals = [read_wfdb(path).signal_mv() for path in headers]
    write_part(folder / "exams_part0.hdf5", [11, 12], signals[:2])
    write_part(folder / "exams_part1.hdf5", [13], signals[2:])
    write_exams(
        folder,
        [
            (11, 60, True, True, False, False, False, False, True, 7, "exams_part0.hdf5"),
            (13, 61, False, *[False] * 6, 7, "exams_part1.hdf5"),
            (14, 62, False, *[False] * 6, 8, "exams_part1.hdf5"),
            (15, 63, False, *[False] * 6, 9, "exams_part2.hdf5"),
            (16, 64, False, *[False] * 6, 9, "exams_part2.hdf5"),
        ],
    )
    return folder


def test_exams_have_their_patients_classes_and_places(code15: Path) -> None:
    found = listing(code15, "code15")
    assert [(e.key, e.path, e.item, e.patient_id, e.labels["code15"]) for e in found.entries] == [
        ("11", "exams_part0.hdf5", 0, "7", ("1dAVb", "AF")),
        ("12", "exams_part0.hdf5", 1, "exams_part0.hdf5#1", None),
        ("13", "exams_part1.hdf5", 0, "7", ()),
    ]
    assert found.entries[0].about == {"age": "60", "is_male": "True"}
    assert found.without_label_row == 1


def test_what_lacks_an_exam_or_a_row_is_refused_by_reason(code15: Path) -> None:
    assert [(r.name, r.reason) for r in listing(code15, "code15").rejects] == [
        ("exams_part0.hdf5#2", "filler_exam"),
        ("exams_part1.hdf5#1", "filler_exam"),
        ("exams_part2.hdf5", "missing_part"),
        ("exams_part1.hdf5#14", "label_row_without_record"),
    ]


def test_exams_return_without_their_padding(code15: Path) -> None:
    settings = settings_of(code15, "code15")
    headers = sorted((code15 / "s").rglob("*.hea"))
    for entry, header in zip(listing(code15, "code15").entries, headers, strict=True):
        reading, original = read_entry(entry, settings), read_wfdb(header)
        assert reading.record.name == entry.key and reading.record.sampling_rate == 400
        assert np.array_equal(reading.record.signal_mv(), original.signal_mv())
    filler = listing(code15, "code15").entries[0]._replace(item=2)
    with pytest.raises(RecordError) as caught:
        read_entry(filler, settings)
    assert caught.value.reason == "no_samples"


def test_a_damaged_part_is_refused_and_the_others_are_listed(code15: Path, tmp_path: Path) -> None:
    for name in ("exams.csv", "exams_part1.hdf5"):
        (tmp_path / name).write_bytes((code15 / name).read_bytes())
    (tmp_path / "exams_part0.hdf5").write_bytes(b"no HDF5")
    found = listing(tmp_path, "code15")
    assert [entry.key for entry in found.entries] == ["13"]
    assert ("exams_part0.hdf5", "unreadable_file") in [(r.name, r.reason) for r in found.rejects]


def test_a_class_that_is_neither_true_nor_false_is_refused(code15: Path, tmp_path: Path) -> None:
    (tmp_path / "a.hdf5").write_bytes((code15 / "exams_part1.hdf5").read_bytes())
    write_exams(tmp_path, [(13, 60, True, "maybe", *[False] * 5, 7, "a.hdf5")])
    with pytest.raises(InputError, match="'maybe' as 1dAVb of exam 13"):
        listing(tmp_path, "code15")


def test_real_exams_have_their_published_labels(shared_data: Path, tmp_path: Path) -> None:
    with (shared_data / "code15_ecgfm/meta.csv").open() as file:
        rows = {int(row["exam_id"]): row for row in csv.DictReader(file)}
    files = sorted((shared_data / "code15_ecgfm/org").glob("*.mat"))
    exams = [int(file.stem.rpartition("_")[2]) for file in files]
    signals = [scipy.io.loadmat(file)["feats"] for file in files]
    write_part(tmp_path / "exams_part0.hdf5", exams, signals)
    named = [rows[exam] | {"trace_file": "exams_part0.hdf5"} for exam in exams]
    write_exams(tmp_path, [tuple(row[name] for name in COLUMNS) for row in named])
    found = listing(tmp_path, "code15")
    assert len(found.entries) == 5 and [r.reason for r in found.rejects] == ["filler_exam"]
    for entry, exam, signal in zip(found.entries, exams, signals, strict=True):
        expected = {name for name in CLASSES if rows[exam][name] == "True"}
        assert set(entry.labels["code15"] or ()) == expected and len(expected) == 1
        assert entry.patient_id == rows[exam]["patient_id"]
        reading = read_entry(entry, settings_of(tmp_path, "code15"))
        assert np.abs(reading.record.signal_mv() - signal).max() < 0.0003
        assert "error of at most" in reading.notes[0]


def write_own(path: Path, *, ids: bool = False) -> None:
    with h5py.File(path, "w") as file:
        file["ecg"] = INTEGERS.transpose(0, 2, 1)
        if ids:
            file["about/name"] = np.array([b"w", b"x", b"y", b"z"])


OWN = {"dataset": "ecg", "sampling_rate": 250, "gain": 200}


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("patient_id,split,AF,RBBB", ["", "", "", ""]),
        ("record,patient_id,split,AF,RBBB", ["0,", "1,", "2,", "3,"]),
        ("path,patient_id,split,AF,RBBB", ["a.h5#0,", "a.h5#1,", "a.h5#2,", "a.h5#3,"]),
    ],
)
def test_rows_of_a_table_follow_the_numbers_of_a_file(
    tmp_path: Path, header: str, cells: list[str]
) -> None:
    write_own(tmp_path / "a.h5")
    rest = ["P,train,1,0", "P,train,0,0", "Q,val,1,1", "R,test,0,1"]
    rows = [cell + values for cell, values in zip(cells, rest, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows]))
    found = listing(tmp_path, "hdf5", **OWN)
    assert [(e.key, e.item, e.patient_id, e.split, e.labels["label"]) for e in found.entries] == [
        ("a_h5_0", 0, "P", "train", ("AF",)),
        ("a_h5_1", 1, "P", "train", ()),
        ("a_h5_2", 2, "Q", "val", ("AF", "RBBB")),
        ("a_h5_3", 3, "R", "test", ("RBBB",)),
    ]
    assert (found.rejects, found.without_label_row) == ([], 0)
    for entry in found.entries:
        record = read_entry(entry, settings_of(tmp_path, "hdf5", **OWN)).record
        assert np.array_equal(record.digital, INTEGERS[entry.item or 0])
        assert record.gain == (200.0,) * 12


@pytest.mark.parametrize("column", ["name", "record"])
def test_rows_of_a_table_follow_ids(tmp_path: Path, column: str) -> None:
    write_own(tmp_path / "a.h5", ids=True)
    (tmp_path / "labels.csv").write_text(f"{column},patient_id,x\ny,P,AF\nz,P,\nq,P,AF\n")
    found = listing(tmp_path, "hdf5", **OWN, ids="about/name")
    assert [(e.key, e.patient_id, e.labels["x"]) for e in found.entries] == [
        ("w", "a.h5#0", None),
        ("x", "a.h5#1", None),
        ("y", "P", ("AF",)),
        ("z", "P", None),
    ]
    assert [(r.name, r.reason) for r in found.rejects] == [("q", "label_row_without_record")]


def test_several_files_without_ids_are_told_apart_by_name(tmp_path: Path) -> None:
    write_own(tmp_path / "a.h5")
    write_own(tmp_path / "b.hdf5")
    (tmp_path / "c.h5").write_text("no HDF5")
    found = listing(tmp_path, "hdf5", **OWN)
    assert len({entry.key for entry in found.entries}) == 8
    assert [(r.name, r.reason) for r in found.rejects] == [("c.h5", "unreadable_file")]
    (tmp_path / "labels.csv").write_text("patient_id,AF\nP,1\n")
    with pytest.raises(InputError, match="0 of 1 rows and of 8 recordings match"):
        listing(tmp_path, "hdf5", **OWN)


def test_hdf5_without_a_sampling_rate_or_a_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.h5 or \.hdf5"):
        listing(tmp_path, "hdf5", **OWN)
    write_own(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"Set arrays\.sampling_rate"):
        listing(tmp_path, "hdf5", dataset="ecg")

"""Writing records on disk as MIMIC-IV-ECG has them."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lamae.ecg.leads import LEADS

STORED_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
"""Order of the signals in a file: aVF comes before aVL."""
GAIN = 200
"""Integer units per mV; 0 mV is 0."""
NOT_MEASURED = 29999
"""Value that the cart writes for an interval or axis that it could not measure."""

RECORD_LIST = ("subject_id", "study_id", "file_name", "ecg_time", "path")
MEASUREMENTS = (
    "subject_id",
    "study_id",
    "cart_id",
    "ecg_time",
    *(f"report_{i}" for i in range(18)),
    "bandwidth",
    "filtering",
    "rr_interval",
    "p_onset",
    "p_end",
    "qrs_onset",
    "qrs_end",
    "t_end",
    "p_axis",
    "qrs_axis",
    "t_axis",
)

_TABLES = {
    "record_list.csv": RECORD_LIST,
    "machine_measurements.csv": MEASUREMENTS,
    "labels.csv": ("study_id", "subject_id", "class"),
}

Row = Mapping[str, object]
"""Cells of a study for all tables, by column."""

_ROWS = [LEADS.index(lead) for lead in STORED_LEADS]
_INT16_MAX = 32767


class Study(NamedTuple):
    """One recording of a patient."""

    subject_id: int
    """Patient: eight digits."""
    study_id: int
    """Recording: eight digits."""
    time: datetime
    """Start of the recording."""

    @property
    def path(self) -> str:
        """Path of the record in the dataset, without extension."""
        subject, study = self.subject_id, self.study_id
        return f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"

    @property
    def columns(self) -> dict[str, object]:
        """Columns of the study that every table has."""
        return {
            "subject_id": self.subject_id,
            "study_id": self.study_id,
            "file_name": self.study_id,
            "ecg_time": f"{self.time:%Y-%m-%d %H:%M:%S}",
            "path": self.path,
        }


def write_studies(
    folder: Path, studies: Sequence[Study], signal_mv: np.ndarray, *, sampling_rate: int
) -> None:
    """Write a header and a signal file per study; `signal_mv` is (studies, 12 of LEADS, samples).

    The caller shows the folder to others only once it is complete, so files are not synced one by
    one.
    """
    scaled = np.rint(signal_mv[:, _ROWS] * GAIN).clip(-_INT16_MAX, _INT16_MAX)
    digital = scaled.astype("<i2")
    checksums = digital.sum(axis=2, dtype=np.int64) % 65536
    interleaved = np.ascontiguousarray(digital.transpose(0, 2, 1))
    for i, study in enumerate(studies):
        path = folder / study.path
        path.parent.mkdir(parents=True)
        path.with_suffix(".dat").write_bytes(interleaved[i].data)
        header = _header(study, digital[i], checksums[i], sampling_rate=sampling_rate)
        path.with_suffix(".hea").write_text(header)


def write_tables(folder: Path, chunks: Iterable[list[Row]]) -> dict[str, object]:
    """Write the tables of a data set as their rows come; returns counts.

    All rows of a patient come together. A row may lack columns of a table, or exceed them.
    """
    records, patients, classes = 0, 0, Counter[str]()
    with ExitStack() as files:
        writers = []
        for name, columns in _TABLES.items():
            file = files.enter_context((folder / name).open("w", encoding="utf-8", newline=""))
            writers.append(
                csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            )
            writers[-1].writeheader()
        for rows in chunks:
            for writer in writers:
                writer.writerows(rows)
            records += len(rows)
            patients += len({row["subject_id"] for row in rows})
            classes.update(str(row["class"]) for row in rows)
    return {"records": records, "patients": patients, "classes": dict(classes)}


def _header(study: Study, digital: np.ndarray, checksums: np.ndarray, *, sampling_rate: int) -> str:
    name, samples = study.study_id, digital.shape[1]
    lines = [f"{name} {len(STORED_LEADS)} {sampling_rate} {samples} {study.time:%H:%M:%S %d/%m/%Y}"]
    lines += [
        f"{name}.dat 16 {GAIN}.0(0)/mV 16 0 {first} {checksum} 0 {lead}"
        for lead, first, checksum in zip(STORED_LEADS, digital[:, 0], checksums, strict=True)
    ]
    return "\n".join([*lines, f"# <subject_id>: {study.subject_id}", ""])

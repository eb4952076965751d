"""Damaged files of any format: each is read or refused by name, in little memory, naming nobody."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import edfio
import h5py
import numpy as np
import pytest
import scipy.io

from lamae.ecg.leads import LEADS
from lamae.errors import RecordError
from lamae.readers.any_file import read_file
from lamae.readers.arrays.array_files import REASONS as ARRAY_REASONS
from lamae.readers.arrays.array_layout import ArrayLayout
from lamae.readers.arrays.hdf5_files import REASONS as HDF5_REASONS
from lamae.readers.arrays.icbeb import REASONS as ICBEB_REASONS
from lamae.readers.formats import FORMATS
from lamae.readers.hospital.channels import REASONS
from lamae.readers.read_options import ReadOptions
from lamae.readers.wfdb.record_files import REASONS as WFDB_REASONS
from tests.test_lamae_readers_hospital_files import (
    NAME,
    RATE,
    SAMPLES,
    WRITERS,
    digital,
    edit,
    write_edf,
)

ROUNDS = 2000
MAX_BYTES = 2**28
HANGS_S = 60


def write_edf_d(path: Path) -> None:
    write_edf(path, record_s=0.4)
    edit(path, "EDF+C", "EDF+D")
    edit(path, "+0.8\x14\x14", "+2.8\x14\x14")


def write_bdf(path: Path) -> None:
    signals = [
        edfio.BdfSignal(row * 0.005, RATE, label=lead, physical_dimension="mV")
        for lead, row in zip(LEADS, digital(), strict=True)
    ]
    person = edfio.Patient(name="_".join(NAME))
    edfio.Bdf(signals, patient=person, data_record_duration=0.4).write(path)


def write_watch(path: Path) -> None:
    rows = "\n".join(map(str, digital(("I",))[0]))
    facts = f'Name,"{NAME[0]}, {NAME[1]}"\nDate of Birth,29 Feb 1960\nSample Rate,{RATE} hertz'
    path.write_text(f"{facts}\nLead,Lead I\nUnit,uV\n\n{rows}\n")


def write_table(path: Path) -> None:
    rows = "\n".join(f"{n * 2};{a},5;{b}" for n, (a, b) in enumerate(digital(("I", "II")).T[:90]))
    path.write_text(f"Patient;{NAME[0]}\nZeit [ms];I [uV];II [uV]\n{rows}\n")


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, digital() / 1000)


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("tracings", data=digital() / 1000, chunks=(4, 200), compression="gzip")


def write_icbeb(path: Path) -> None:
    with path.open("wb") as file:
        scipy.io.savemat(file, {"ECG": {"sex": "Male", "age": 52, "data": digital() / 1000}})


def write_wfdb(path: Path) -> None:
    path.with_suffix(".dat").write_bytes(digital().T.astype("<i2").tobytes())
    sums = digital().astype(int).sum(axis=1) % 2**16
    rows = zip(digital()[:, 0], sums, LEADS, strict=True)
    lines = [f"r.dat 16 200/mV 16 0 {first} {total} 0 {lead}" for first, total, lead in rows]
    path.write_text("\n".join([f"r 12 {RATE} {SAMPLES}", *lines, f"# Name: {NAME[0]}", ""]))


OTHERS: dict[str, tuple[str, Callable[[Path], None], tuple[str, ...]]] = {
    "BDF": ("edf", write_bdf, REASONS),
    "EDF+D": ("edf", write_edf_d, REASONS),
    "watch": ("csv", write_watch, ARRAY_REASONS),
    "csv": ("csv", write_table, ARRAY_REASONS),
    "npy": ("npy", write_npy, ARRAY_REASONS),
    "hdf5": ("hdf5", write_hdf5, HDF5_REASONS),
    "icbeb": ("icbeb", write_icbeb, ICBEB_REASONS),
    "wfdb": ("wfdb", write_wfdb, WFDB_REASONS),
}
FILES = {form: (form, write, REASONS) for form, write in WRITERS.items()} | OTHERS


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut, repeat, overwrite or insert at a random place, half of the time near the beginning."""
    end = len(content) if rng.random() < 0.5 else min(len(content), 1500)
    place, length = int(rng.integers(end)), int(rng.integers(1, 12))
    before, piece, after = content[:place], content[place : place + length], content[place:]
    noise = [rng.bytes(length), b"9" * length, b" <>&;\"'=/", b"\x00\xff\x7f", b"-1", b"1e999"]
    return [
        before,
        before + piece * 3 + after,
        before + after[length:],
        before + noise[int(rng.integers(len(noise)))] + after[length:],
        before + noise[int(rng.integers(len(noise)))] + after,
    ][int(rng.integers(5)) if rng.random() < 0.9 else 0]


def end(number: int, frame: object) -> None:
    """Fail by what no reader can take for an error of a file."""
    pytest.fail(f"no end within {HANGS_S} s")


def peak_bytes(*, forget: bool = False) -> int:
    """Return the most memory that this process has had, since it last forgot."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path: Path, kind: str) -> None:
    form, write, reasons = FILES[kind]
    path, rng = tmp_path / "r.hea", np.random.default_rng(4)
    write(path)
    original = path.read_bytes()
    outcomes: Counter[str] = Counter()
    arrays = ArrayLayout(sampling_rate=None if form == "csv" else RATE)
    before = signal.signal(signal.SIGALRM, end)
    resident = peak_bytes(forget=True)
    for number in range(ROUNDS):
        options = ReadOptions(checksums="warn" if number % 2 else "strict", arrays=arrays)
        path.write_bytes(damaged(original, rng))
        signal.alarm(HANGS_S)
        try:
            reading = FORMATS[form].read(path, options)
        except RecordError as error:
            said = str(error)
            outcomes[error.reason] += 1
        else:
            said = f"{reading.notes}"
            assert reading.record.digital.shape[1] <= 40 * SAMPLES
            outcomes["read"] += 1
        assert not any(word in said for word in (*NAME, "1960"))
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert outcomes["read"] and len(outcomes) > 1 and set(outcomes) <= {"read", *reasons}
    assert peak_bytes() - resident < MAX_BYTES


@pytest.mark.parametrize("form", WRITERS)
def test_an_empty_and_a_huge_file_and_a_pipe_are_refused_at_once(tmp_path: Path, form: str) -> None:
    WRITERS[form](tmp_path / "huge")
    os.truncate(tmp_path / "huge", 2**40)
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("huge", "empty", "pipe", "missing", "."):
        with pytest.raises(RecordError) as caught:
            FORMATS[form].read(tmp_path / name, ReadOptions())
        assert caught.value.reason == "unreadable_file"
    with pytest.raises(RecordError, match="no such file"):
        read_file(tmp_path / "pipe", ReadOptions())

"""Damaged and hostile recordings: each is read or refused by name, and costs little memory."""

import os
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import wfdb

from lamae.ecg.leads import LEADS
from lamae.ecg.record import Reading
from lamae.errors import RecordError
from lamae.readers.arrays.icbeb import REASONS as ICBEB_REASONS
from lamae.readers.arrays.icbeb import read_icbeb
from lamae.readers.arrays.mat5 import LARGEST_FILE
from lamae.readers.wfdb.record_files import (
    REASONS,
    read_wfdb_comments,
    read_wfdb_signals,
)

# wfdb, which writes the records here, calls pandas in a way that pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

SAMPLES = 60


def write_wfdb(folder: Path, fmt: str) -> None:
    digital = np.random.default_rng(0).integers(-1000, 1000, (SAMPLES, len(LEADS)))
    columns = {"units": ["mV"] * 12, "adc_gain": [200.0] * 12, "baseline": [0] * 12}
    wfdb.wrsamp("r", 500, sig_name=list(LEADS), d_signal=digital, fmt=[fmt] * 12,
                comments=["Dx: AF,STD"], write_dir=str(folder), **columns)  # fmt: skip


def write_icbeb(path: Path, *, compressed: bool) -> None:
    data = np.random.default_rng(0).integers(-1000, 1000, (12, SAMPLES)) / 1000
    fields = {"sex": "Male", "age": 52, "data": data}
    scipy.io.savemat(path, {"ECG": fields}, do_compression=compressed)


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut, repeat, overwrite or insert at a random place."""
    place, length = rng.integers(len(content)), int(rng.integers(1, 12))
    before, piece, after = content[:place], content[place : place + length], content[place:]
    noise = rng.choice([rng.bytes(length), b"9" * length, b" -/.x:+()\n#", b"\x00\xff"])
    return [
        before,
        before + piece * 3 + after,
        before + after[length:],
        before + noise + after[length:],
        before + noise + after,
    ][rng.integers(5)]


def outcome(read: Callable[[Path], Reading], path: Path) -> str:
    """Return the reason why a recording is refused, or nothing if it is read."""
    try:
        record = read(path).record
    except RecordError as error:
        return error.reason
    assert record.digital.shape[1] <= SAMPLES
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(("fmt", "rounds"), [("16", 400), ("212", 150)])
def test_damaged_wfdb_records_are_read_or_refused_by_name(
    tmp_path: Path, fmt: str, rounds: int
) -> None:
    write_wfdb(tmp_path, fmt)
    originals = {name: (tmp_path / name).read_bytes() for name in ("r.hea", "r.dat")}
    rng = np.random.default_rng(2)
    reasons = set()
    for _ in range(rounds):
        name = "r.hea" if rng.random() < 0.9 else "r.dat"
        (tmp_path / name).write_bytes(damage(originals[name], rng))
        reasons.add(outcome(read_wfdb_signals, tmp_path / "r"))
        assert all(isinstance(text, str) for text in read_wfdb_comments(tmp_path / "r.hea"))
        (tmp_path / name).write_bytes(originals[name])
    assert reasons <= {"", *REASONS}
    assert {"", "unreadable_header", "truncated_signal_file", "checksum_mismatch"} <= reasons


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_matlab_files_are_read_or_refused_by_name(tmp_path: Path, compressed: bool) -> None:
    path, rng = tmp_path / "A0001.mat", np.random.default_rng(3)
    write_icbeb(path, compressed=compressed)
    original = path.read_bytes()
    reasons = set()
    for _ in range(300):
        content = damage(original, rng)
        if not compressed and rng.random() < 0.7:  # where the sizes and types are
            content = damage(original[:400], rng) + original[400:]
        path.write_bytes(content)
        reasons.add(outcome(read_icbeb, path))
    assert {"unreadable_signal"} <= reasons <= {"", *ICBEB_REASONS}


def test_any_flipped_bit_of_the_samples_is_noticed(tmp_path: Path) -> None:
    write_wfdb(tmp_path, "16")
    path, rng = tmp_path / "r.dat", np.random.default_rng(1)
    content = path.read_bytes()
    for bit in rng.integers(0, 8 * len(content), 50):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        assert outcome(read_wfdb_signals, tmp_path / "r") == "checksum_mismatch"


def test_a_wfdb_file_of_more_bytes_than_memory_is_refused_unread(tmp_path: Path) -> None:
    signals = "\n".join(f"r.dat 16 200 16 0 0 0 0 {name}" for name in range(998))
    (tmp_path / "r.hea").write_text(f"r 999 500\n{signals}\nr.dat 16 200 16 0 0 0 0 I\n")
    (tmp_path / "r.dat").touch()
    os.truncate(tmp_path / "r.dat", 2**34)
    assert outcome(read_wfdb_signals, tmp_path / "r") == "too_many_samples"


def test_no_pipe_is_waited_for(tmp_path: Path) -> None:
    for name in ("p.hea", "p.mat"):
        os.mkfifo(tmp_path / name)
    assert outcome(read_wfdb_signals, tmp_path / "p") == "missing_header"
    assert outcome(read_icbeb, tmp_path / "p.mat") == "missing_signal_file"
    assert read_wfdb_comments(tmp_path / "p.hea") == ()


def element(kind: int, data: bytes, size: int | None = None) -> bytes:
    """Return a data element of a MAT-file, which may claim another size."""
    words = np.array([kind, len(data) if size is None else size], "<u4")
    return words.tobytes() + data


def test_matlab_files_that_claim_or_expand_to_too_much_cost_no_more_than_the_limit(
    tmp_path: Path,
) -> None:
    path = tmp_path / "A0001.mat"
    write_icbeb(path, compressed=False)
    original = path.read_bytes()
    head = original[:128]
    bomb = zlib.compress(element(14, bytes(LARGEST_FILE + 1)), 1)
    flags, name = element(6, bytes([2, 0, 0, 0, 0, 0, 0, 0])), element(1, b"")
    many = element(5, np.array([2**30, 2**30], "<i4").tobytes())
    hostile = {
        "expands": head + element(15, bomb),
        "in pieces": head + 40 * element(15, zlib.compress(element(9, bytes(2**21)), 1)),
        "claims bytes": head + element(14, original[136:], 2**32 - 1),
        "claims structs": head + element(14, flags + many + name),
        "claims samples": original.replace(
            np.array([12, SAMPLES], "<i4").tobytes(), np.array([12, 2**30], "<i4").tobytes()
        ),
    }
    for what, content in hostile.items():
        path.write_bytes(content)
        tracemalloc.start()
        assert outcome(read_icbeb, path) == "unreadable_signal", what
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * LARGEST_FILE, what


def test_other_and_oversized_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "A0001.mat"
    path.write_bytes(b"")
    assert outcome(read_icbeb, path) == "unreadable_signal"
    os.truncate(path, LARGEST_FILE + 1)
    assert outcome(read_icbeb, path) == "unsupported_format"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    assert outcome(read_icbeb, path) == "unsupported_format"
    for odd in (tmp_path, tmp_path / "missing.mat", tmp_path / "a\0b.mat"):
        assert outcome(read_icbeb, odd) == "missing_signal_file"

"""Damaged files of hospitals: each is read or refused by name, in little memory, naming nobody."""

import os
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lamae.errors import RecordError
from lamae.readers.any_file import read_file
from lamae.readers.formats import FORMATS
from lamae.readers.hospital.channels import REASONS
from lamae.readers.read_options import ReadOptions
from tests.test_lamae_readers_hospital_files import NAME, SAMPLES, WRITERS

ROUNDS = int(os.environ.get("LAMAE_MUTATIONS", "200"))
MAX_BYTES = 2**28


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


@pytest.mark.slow
@pytest.mark.parametrize("form", WRITERS)
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path: Path, form: str) -> None:
    path, rng = tmp_path / "r.x", np.random.default_rng(4)
    WRITERS[form](path)
    original = path.read_bytes()
    outcomes: Counter[str] = Counter()
    tracemalloc.start()
    for number in range(ROUNDS):
        options = ReadOptions(checksums="warn" if number % 2 else "strict")
        path.write_bytes(damaged(original, rng))
        try:
            record = FORMATS[form].read(path, options).record
        except RecordError as error:
            assert not any(word in str(error) for word in (*NAME, "1960"))
            outcomes[error.reason] += 1
        else:
            assert record.digital.shape[1] <= 4 * SAMPLES
            outcomes["read"] += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcomes["read"] and outcomes["unreadable_file"] and set(outcomes) <= {"read", *REASONS}
    assert peak < MAX_BYTES


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

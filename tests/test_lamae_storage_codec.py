import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import blosc2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.readers.wfdb.record_files import read_wfdb
from lamae.storage.codec import decode_digital, encode_digital
from shards.simulator.signals import simulate_signals

CRC_BYTES = 4
HEADER_BYTES = 32


@st.composite
def recordings(draw: st.DrawFn) -> tuple[np.ndarray, tuple[str, ...]]:
    """Draw any integers, extremes among them, for any leads in any order."""
    leads = tuple(draw(st.lists(st.sampled_from(LEADS), unique=True)))
    values = st.integers(-32768, 32767) | st.sampled_from((-32768, -32767, -1, 0, 1, 32767))
    shape = (len(leads), draw(st.integers(0, 70)))
    return draw(hnp.arrays(np.int16, shape, elements=values)), leads


def _walk(leads: int = 12, samples: int = 1000) -> np.ndarray:
    steps = np.random.default_rng(0).integers(-9, 10, (leads, samples))
    return steps.cumsum(axis=1).astype(np.int16)


def _forge(chunk: bytes) -> bytes:
    """Give a chunk a checksum that holds."""
    return struct.pack("<I", zlib.crc32(chunk)) + chunk


def _real_recordings(shared_data: Path) -> Iterator[tuple[np.ndarray, tuple[str, ...]]]:
    for header in sorted((shared_data / "challenge2021").rglob("*.hea")):
        record = read_wfdb(header)
        yield record.digital, record.leads


@given(recordings())
def test_every_recording_comes_back_exactly(recording: tuple[np.ndarray, tuple[str, ...]]) -> None:
    digital, leads = recording
    payload = encode_digital(digital, leads)
    decoded = decode_digital(payload, leads=leads, samples=digital.shape[1])
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(decoded, digital)


@pytest.mark.parametrize("samples", [1, 7, 16, 17, 1000, 20_000])
@pytest.mark.parametrize("values", [(-32768,), (32767, -32768), (0,), (-1, 0), (-32768, 0, 5)])
def test_markers_and_extremes_come_back_exactly(values: tuple[int, ...], samples: int) -> None:
    digital = np.resize(np.array(values, dtype=np.int16), (12, samples))
    decoded = decode_digital(encode_digital(digital, LEADS), leads=LEADS, samples=samples)
    np.testing.assert_array_equal(decoded, digital)


def test_noise_is_kept_as_it_is() -> None:
    noise = np.random.default_rng(0).integers(-32768, 32768, (12, 5000)).astype(np.int16)
    payload = encode_digital(noise, LEADS)
    assert len(payload) <= noise.nbytes + CRC_BYTES + HEADER_BYTES
    np.testing.assert_array_equal(decode_digital(payload, leads=LEADS, samples=5000), noise)


def test_a_recording_of_hours_is_still_compressed() -> None:
    digital = _walk(2, 2_000_000)
    payload = encode_digital(digital, ("V1", "V2"))
    assert len(payload) < 0.5 * digital.nbytes
    decoded = decode_digital(payload, leads=("V1", "V2"), samples=2_000_000)
    np.testing.assert_array_equal(decoded, digital)


def test_any_layout_in_memory_gives_the_same_bytes() -> None:
    digital = _walk()
    payload = encode_digital(digital, LEADS)
    assert encode_digital(np.asfortranarray(digital), LEADS) == payload
    assert encode_digital(np.repeat(digital, 2, axis=1)[:, ::2], LEADS) == payload
    read_only = digital.copy()
    read_only.flags.writeable = False
    assert encode_digital(read_only, LEADS) == payload
    np.testing.assert_array_equal(read_only, _walk())


def test_decoding_fills_the_given_array_and_nothing_beside_it() -> None:
    digital = _walk()
    batch = np.full((3, 12, 1000), 77, dtype=np.int16)
    payload = memoryview(encode_digital(digital, LEADS))
    decoded = decode_digital(payload, leads=LEADS, samples=1000, out=batch[1])
    assert np.shares_memory(decoded, batch)
    np.testing.assert_array_equal(batch[1], digital)
    assert (batch[[0, 2]] == 77).all()


def test_an_array_that_cannot_be_filled_is_refused() -> None:
    payload = encode_digital(_walk(), LEADS)
    read_only = np.zeros((12, 1000), dtype=np.int16)
    read_only.flags.writeable = False
    for out in (
        read_only,
        np.zeros((1000, 12), dtype=np.int16).T,
        np.zeros((12, 999), dtype=np.int16),
        np.zeros((12, 1000), dtype=np.int32),
    ):
        with pytest.raises(ValueError, match="expected"):
            decode_digital(payload, leads=LEADS, samples=1000, out=out)
    assert not read_only.any()


def test_limb_leads_that_obey_the_equations_cost_almost_nothing() -> None:
    simulated = simulate_signals(["sinus"], generator=np.random.default_rng(0)).signal_mv[0]
    digital = (1000 * simulated).round().astype(np.int16)
    both = encode_digital(digital[:2], LEADS[:2])
    limb = encode_digital(digital[:6], LEADS[:6])
    misnamed = encode_digital(digital[:6], ("aVF", "III", "I", "aVL", "II", "aVR"))
    assert len(limb) < 1.5 * len(both)
    assert len(limb) < 0.6 * len(misnamed)


def test_real_recordings_come_back_exactly_in_two_fifths_of_the_bytes(shared_data: Path) -> None:
    before = after = 0
    for digital, leads in islice(_real_recordings(shared_data), 60):
        payload = encode_digital(digital, leads)
        decoded = decode_digital(payload, leads=leads, samples=digital.shape[1])
        np.testing.assert_array_equal(decoded, digital)
        before += digital.nbytes
        after += len(payload)
    assert before > 0
    assert after < 0.4 * before


@given(st.data())
def test_one_changed_bit_is_noticed(data: st.DataObject) -> None:
    payload = bytearray(encode_digital(_walk(), LEADS))
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InputError, match="checksum"):
        decode_digital(bytes(payload), leads=LEADS, samples=1000)


@given(st.integers(0, 4000), st.binary(max_size=200))
def test_truncated_and_foreign_bytes_are_refused(length: int, foreign: bytes) -> None:
    payload = encode_digital(_walk(), LEADS)
    for damaged in (payload[: min(length, len(payload) - 1)], payload + b"\0", foreign):
        with pytest.raises(InputError):
            decode_digital(damaged, leads=LEADS, samples=1000)
        with pytest.raises(InputError):
            decode_digital(_forge(damaged), leads=LEADS, samples=1000)


@pytest.mark.parametrize(("leads", "samples"), [(12, 999), (12, 1001), (11, 1000), (0, 0), (12, 0)])
def test_a_payload_of_another_shape_is_refused(leads: int, samples: int) -> None:
    payload = encode_digital(_walk(), LEADS)
    with pytest.raises(InputError, match=r"samples|sizes"):
        decode_digital(payload, leads=LEADS[:leads], samples=samples)


def test_a_payload_that_claims_to_be_huge_is_refused() -> None:
    chunk = bytearray(encode_digital(np.zeros((12, 1000), dtype=np.int16), LEADS)[CRC_BYTES:])
    guard = np.full((3, 12, 1000), 77, dtype=np.int16)
    for claimed in (24_002, 2**20, 2**31 - 33, 2**32 - 1):
        chunk[4:12] = struct.pack("<II", claimed, min(claimed, 2**18))
        with pytest.raises(InputError, match="sizes"):
            decode_digital(_forge(bytes(chunk)), leads=LEADS, samples=1000, out=guard[1])
    assert (guard == 77).all()
    with pytest.raises(InputError, match="sizes"):  # before 24 TB are asked for
        decode_digital(_forge(bytes(chunk)), leads=LEADS, samples=10**12)


@pytest.mark.parametrize(
    "options",
    [
        {"codec": blosc2.Codec.ZSTD},
        {"filters": [blosc2.Filter.SHUFFLE]},
        {"filters": [blosc2.Filter.BITSHUFFLE, blosc2.Filter.DELTA]},
        {"typesize": 4},
        {"blocksize": 4096},
    ],
)
def test_a_chunk_of_another_kind_is_refused(options: dict[str, object]) -> None:
    ours = {
        "codec": blosc2.Codec.LZ4HC,
        "filters": [blosc2.Filter.BITSHUFFLE],
        "typesize": 2,
        "blocksize": 24_000,
        "nthreads": 1,
    }
    decode_digital(_forge(blosc2.compress2(_walk(), **ours)), leads=LEADS, samples=1000)
    chunk = blosc2.compress2(_walk(), **(ours | options))
    with pytest.raises(InputError, match=r"header|sizes"):
        decode_digital(_forge(chunk), leads=LEADS, samples=1000)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_forged_bytes_behind_a_valid_checksum_never_leave_the_array(
    forged: list[tuple[int, int]],
) -> None:
    chunk = bytearray(encode_digital(_walk(), LEADS)[CRC_BYTES:])
    for place, value in forged:
        chunk[place % len(chunk)] = value
    guard = np.full((3, 12, 1000), 77, dtype=np.int16)
    try:
        decode_digital(_forge(bytes(chunk)), leads=LEADS, samples=1000, out=guard[1])
    except InputError as error:
        assert "compressed recording" in str(error)
    assert (guard[[0, 2]] == 77).all()

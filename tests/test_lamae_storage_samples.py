import io
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamae.ecg.record import MISSING, Record
from lamae.errors import InputError
from lamae.storage.samples import (
    Codec,
    Sample,
    decode_metadata,
    decode_sample,
    encode_metadata,
    encode_signal,
    metadata,
    sample_key,
)


def make_sample(digital: np.ndarray, *, key: str = "a_1", split: str = "train") -> Sample:
    leads = ("I", "aVF", "V3")[: len(digital)]
    record = Record(
        name="a 1",
        digital=digital.astype(np.int16),
        leads=leads,
        sampling_rate=500,
        gain=(200.0, 4.88, 1e3)[: len(digital)],
        baseline=(0, -5, 7)[: len(digital)],
        comments=("Größe: 1", ""),
    )
    labels = {"rhythm": ("AF", "PVC"), "form": (), "other": None}
    return Sample(key, record, "p 1", split, fold=3, labels=labels, source="f/a 1")


DIGITAL = np.array([[1, -2, MISSING, 32767], [5, 6, 7, 8], [0, 0, 0, -1]])


@pytest.mark.parametrize("codec", ["npy", "ecg"])
def test_a_sample_comes_back_from_its_two_members(codec: Codec) -> None:
    sample = make_sample(DIGITAL)
    fields = decode_metadata(encode_metadata(metadata(sample, codec)))
    signal = encode_signal(sample.record, codec)
    stored = signal.member[-signal.stored :]
    assert signal.crc32 == zlib.crc32(stored)
    found = decode_sample({**fields, "crc32": signal.crc32}, stored)
    assert np.array_equal(found.record.digital, DIGITAL)
    assert metadata(found, codec) == metadata(sample, codec) == fields
    assert found.labels == sample.labels


BAD_METADATA = [b"", b"3", b"[]", b"{}", b'{"labels": {}}', b"\xff", b"[" * 10_000]


@pytest.mark.parametrize("content", BAD_METADATA)
def test_what_is_no_metadata_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="metadata of a sample"):
        decode_metadata(content)


@given(st.integers(1, 3), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_numpy_reads_the_signal_and_it_ends_with_the_raw_samples(
    leads: int, samples: int, seed: int
) -> None:
    digital = np.random.default_rng(seed).integers(-(2**15), 2**15, (leads, samples))
    encoded = encode_signal(make_sample(digital).record, "npy")
    assert np.array_equal(np.load(io.BytesIO(encoded.member), allow_pickle=False), digital)
    assert encoded.member.endswith(digital.astype("<i2").tobytes())
    assert encoded.stored == 2 * digital.size


@pytest.mark.parametrize("codec", ["npy", "ecg"])
def test_a_transposed_array_is_stored_in_the_order_of_its_shape(codec: Codec) -> None:
    transposed = np.asfortranarray(DIGITAL.astype(np.int16))
    found, expected = (encode_signal(make_sample(d).record, codec) for d in (transposed, DIGITAL))
    assert found == expected


@pytest.mark.parametrize("codec", ["npy", "ecg"])
def test_other_samples_than_were_written_are_refused(codec: Codec) -> None:
    sample = make_sample(DIGITAL)
    signal = encode_signal(sample.record, codec)
    stored = bytearray(signal.member[-signal.stored :])
    fields = {**metadata(sample, codec), "crc32": signal.crc32}
    with pytest.raises(InputError, match=r"expected .* for 3 leads|checksum"):
        decode_sample({**fields, "crc32": zlib.crc32(stored[:-1])}, bytes(stored[:-1]))
    stored[3] ^= 1
    with pytest.raises(InputError, match="sample a_1: checksum"):
        decode_sample(fields, bytes(stored))


@pytest.mark.parametrize("name", ["a.b", "a/b c", "ä", "records100/00001_lr"])
def test_every_name_becomes_a_key_that_a_sample_takes(name: str) -> None:
    assert make_sample(DIGITAL, key=sample_key(name)).key == sample_key(name)


@pytest.mark.parametrize(("key", "split"), [("a.b", "train"), ("", "val"), ("a", "validation")])
def test_a_key_or_split_that_no_shard_can_hold_is_refused(key: str, split: str) -> None:
    with pytest.raises(ValueError, match=r"key|split"):
        make_sample(DIGITAL, key=key, split=split)


@pytest.mark.parametrize(
    "changes", [{"gain": (1.0,)}, {"leads": ("I", "I", "II")}, {"leads": ("I", "II", "VX")}]
)
def test_a_record_with_contradicting_fields_is_refused(changes: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        "name": "r",
        "digital": DIGITAL.astype(np.int16),
        "leads": ("I", "II", "III"),
        "sampling_rate": 500,
        "gain": (1.0,) * 3,
        "baseline": (0,) * 3,
    }
    with pytest.raises(ValueError, match="r: "):
        Record(**{**fields, **changes})

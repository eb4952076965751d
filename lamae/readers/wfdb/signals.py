"""The binary signal files of a WFDB record, as signal(5) of the WFDB Applications Guide says.

wfdb unpacks the same formats, but reads the header itself, and stumbles over what people write.
"""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Format(NamedTuple):
    """A way to store samples."""

    bytes_per_sample: Fraction
    """Bytes that a sample takes; of a compressed one, those that it takes at the least."""
    missing: int
    """The integer that marks a missing sample."""


_COMPRESSED = Fraction(1, 2**16)
FORMATS = {
    "16": Format(Fraction(2), -(2**15)),
    "24": Format(Fraction(3), -(2**23)),
    "32": Format(Fraction(4), -(2**31)),
    "61": Format(Fraction(2), -(2**15)),
    "80": Format(Fraction(1), -(2**7)),
    "160": Format(Fraction(2), -(2**15)),
    "212": Format(Fraction(3, 2), -(2**11)),
    "310": Format(Fraction(4, 3), -(2**9)),
    "311": Format(Fraction(4, 3), -(2**9)),
    "508": Format(_COMPRESSED, -(2**7)),
    "516": Format(_COMPRESSED, -(2**15)),
    "524": Format(_COMPRESSED, -(2**23)),
}
"""The storage formats that are read, by the name that a header gives."""

_ALIGNED = {"16": ("<i2", 0), "32": ("<i4", 0), "61": (">i2", 0), "80": ("u1", 2**7),
            "160": ("<u2", 2**15)}  # fmt: skip
"""Formats of whole bytes, as numpy names them, and the integer that stands for 0."""
_FLAC_BITS = {"508": 8, "516": 16, "524": 24}


class SignalFile(NamedTuple):
    """A signal file: the signals whose samples alternate in it, from `offset` bytes on."""

    path: Path
    """Place of the file."""
    channels: list[int]
    """Places of its signals in the header."""
    format: str
    """One of `FORMATS`."""
    offset: int
    """Bytes before the first sample."""
    samples_per_frame: tuple[int, ...]
    """Samples of each signal in a frame; the frames follow each other."""

    def frames_in(self, size: int) -> int:
        """Return the frames that a file of `size` bytes holds, of a compressed one at the most."""
        payload = max(0, size - self.offset)
        samples = int(payload / FORMATS[self.format].bytes_per_sample)
        return samples // sum(self.samples_per_frame)

    def bytes_of(self, frames: int) -> int:
        """Return the bytes of so many frames in memory, or those that they take in the file."""
        samples = frames * sum(self.samples_per_frame)
        return 2 * samples if self.is_compressed else self._stored_bytes(samples)

    @property
    def is_compressed(self) -> bool:
        """True of a file in FLAC."""
        return self.format in _FLAC_BITS

    def _stored_bytes(self, samples: int) -> int:
        return -int(-samples * FORMATS[self.format].bytes_per_sample // 1)

    def read(self, frames: int) -> list[np.ndarray]:
        """Return the integers of each signal as they are stored, frames after frames.

        Raises ValueError for a file that does not hold them.
        """
        if self.is_compressed:
            return self._read_flac(frames)
        samples = frames * sum(self.samples_per_frame)
        count = self._stored_bytes(samples)
        packed = np.fromfile(self.path, np.uint8, count=count, offset=self.offset)
        if len(packed) != count:
            raise ValueError(f"{len(packed)} bytes where {count} were expected")
        values = _unpack(packed, self.format)[:samples]
        if set(self.samples_per_frame) == {1}:
            return list(values.reshape(frames, -1).T)
        rows = values.reshape(frames, -1)
        ends = np.cumsum(self.samples_per_frame)
        return [
            rows[:, end - width : end].reshape(-1)
            for end, width in zip(ends, self.samples_per_frame, strict=True)
        ]

    def _read_flac(self, frames: int) -> list[np.ndarray]:
        import soundfile  # the decoder of wfdb; few records need it

        widths = set(self.samples_per_frame)
        if len(widths) > 1 or self.offset:
            raise ValueError("signals of different samples per frame, or behind other bytes")
        samples = frames * widths.pop()
        bits = _FLAC_BITS[self.format]
        try:
            with soundfile.SoundFile(self.path) as file:
                if file.channels != len(self.channels) or file.frames < samples:
                    raise ValueError(f"{file.channels} signals of {file.frames} samples")
                values = file.read(samples, dtype="int32", always_2d=True)
        except (soundfile.SoundFileError, TypeError) as error:
            raise ValueError(str(error)) from None
        if len(values) != samples:
            raise ValueError(f"{len(values)} samples where {samples} were expected")
        return list((values >> (32 - bits)).astype(np.int32 if bits > 16 else np.int16).T)


def _unpack(packed: np.ndarray, name: str) -> np.ndarray:
    """Return the integers in bytes of one of the formats without compression."""
    if name in _ALIGNED:
        dtype, zero = _ALIGNED[name]
        values = packed.view(dtype)
        return (values.astype(np.int32) - zero).astype(np.int16) if zero else values
    if name == "24":
        first, second, third = packed.reshape(-1, 3).T.astype(np.int32)
        return _signed(first | second << 8 | third << 16, 24)
    if name == "212":
        first, second, third = _padded(packed, 3).reshape(-1, 3).T.astype(np.int32)
        pairs = [first | (second & 15) << 8, third | second >> 4 << 8]
        return _signed(np.stack(pairs, axis=1).ravel(), 12).astype(np.int16)
    words = _padded(packed, 4).view("<u2" if name == "310" else "<u4").astype(np.int64)
    if name == "310":
        low, high = words.reshape(-1, 2).T
        triples = [low >> 1, high >> 1, low >> 11 | high >> 11 << 5]
    else:
        triples = [words, words >> 10, words >> 20]
    return _signed(np.stack(triples, axis=1).ravel() & 1023, 10).astype(np.int16)


def _padded(packed: np.ndarray, multiple: int) -> np.ndarray:
    return np.pad(packed, (0, -len(packed) % multiple))


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """Return unsigned integers of so many bits as the two's complement that they are."""
    return values - (values >> (bits - 1) << bits)

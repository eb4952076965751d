"""Lossless compression of recordings: bytes, and signal per second and core, of the alternatives.

.venv/bin/python benchmarks/codec.py [source=<folder of WFDB records>] [--records 100] [--json FILE]
Without a source it simulates 12 leads of 1,000 and of 5,000 samples, the sizes of PTB-XL at 100 Hz
and of MIMIC-IV-ECG. Records of a source that differ in shape are measured apart. A gigabyte is one
of int16 signal, a second one of processor time. pcodec, soundfile and zstandard are compared where
they are installed.
"""

import argparse
import importlib
import io
import itertools
import json
import os
import platform
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import blosc2
import numpy as np

from lamae.ecg.leads import LEADS
from lamae.errors import RecordError
from lamae.readers.wfdb.record_files import read_wfdb
from lamae.storage.codec import decode_digital, encode_digital
from shards.simulator.signals import simulate_signals

Group = list[np.ndarray]
REPEATS = 5
MOST_SHAPES = 2


class Alternative(NamedTuple):
    """A codec of int16 (leads, samples)."""

    name: str
    """What the table calls it."""
    encode: Callable[[np.ndarray], bytes]
    """Recording to bytes."""
    decode: Callable[[bytes, np.ndarray], np.ndarray]
    """Bytes to recording; the array has its shape and may be filled."""


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="")
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    source = arguments.source.removeprefix("source=")
    drawn = read(Path(source), arguments.records) if source else simulated(arguments.records)
    alternatives, missing = installed()
    results: dict[str, Any] = {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "source": source or "simulated",
        "not_installed": missing,
        "groups": [],
    }
    for name in missing:
        print(f"{name} is not installed and left out")
    for group in drawn:
        print(f"\n{len(group)} records of {group[0].shape}")
        print(f"{'':28}{'bytes':>8}{'encode GB/s':>14}{'decode GB/s':>14}")
        rows = {}
        for alternative in alternatives:
            left, encoding, decoding = rows[alternative.name] = measure(alternative, group)
            print(f"{alternative.name:28}{left:8.3f}{encoding:14.3f}{decoding:14.3f}", flush=True)
        shape = {"records": len(group), "shape": group[0].shape}
        results["groups"].append(shape | {"bytes_encode_decode": rows})
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def measure(alternative: Alternative, group: Group) -> tuple[float, float, float]:
    """Return the part of the bytes that is left, and GB/s of encoding and of decoding."""
    size = sum(digital.nbytes for digital in group)
    started = time.process_time()
    payloads = [alternative.encode(digital) for digital in group]
    encoding_s = time.process_time() - started
    out = np.empty_like(group[0])
    for digital, payload in zip(group, payloads, strict=True):
        if not np.array_equal(alternative.decode(payload, out), digital):
            raise RuntimeError(f"{alternative.name} is not lossless")
    decoding_s = min(_decoding_s(alternative, payloads, out) for _ in range(REPEATS))
    left = sum(map(len, payloads)) / size
    return left, size / encoding_s / 1e9, size / decoding_s / 1e9


def _decoding_s(alternative: Alternative, payloads: Sequence[bytes], out: np.ndarray) -> float:
    started = time.process_time()
    for payload in payloads:
        alternative.decode(payload, out)
    return time.process_time() - started


def simulated(records: int) -> Iterator[Group]:
    """Yield recordings of 1,000 and of 5,000 samples, 0.001 mV and 0.005 mV a unit."""
    for sampling_rate, gain in ((100, 1000), (500, 200)):
        codes = tuple(itertools.islice(itertools.cycle(("sinus", "AF", "LBBB", "PVC")), records))
        drawn = simulate_signals(
            codes, generator=np.random.default_rng(0), sampling_rate=sampling_rate
        )
        yield list((drawn.signal_mv * gain).round().astype(np.int16))


def read(source: Path, records: int) -> Iterator[Group]:
    """Yield 12-lead records, evenly drawn from a folder, the most frequent shapes apart."""
    headers = sorted(source.rglob("*.hea"))
    groups: dict[tuple[int, ...], Group] = {}
    for header in headers[:: max(1, len(headers) // records)]:
        try:
            record = read_wfdb(header)
        except RecordError as error:
            print(f"left out: {error}")
            continue
        if record.leads == LEADS:
            groups.setdefault(record.digital.shape, []).append(record.digital)
    if not groups:
        raise SystemExit(f"{source} holds no WFDB record of the twelve leads")
    yield from sorted(groups.values(), key=len, reverse=True)[:MOST_SHAPES]


def installed() -> tuple[list[Alternative], list[str]]:
    """Return the alternatives that can be measured, and the packages that are missing."""
    lz4hc, zstd = blosc2.Codec.LZ4HC, blosc2.Codec.ZSTD
    alternatives = [
        Alternative("raw", np.ndarray.tobytes, _as_array),
        Alternative("zlib 6", lambda digital: zlib.compress(digital.tobytes()), _decode_zlib),
        _blosc("blosc2 zstd shuffle", blosc2.Filter.SHUFFLE, zstd, 1),
        _blosc("blosc2 zstd bitshuffle", blosc2.Filter.BITSHUFFLE, zstd, 1),
        _blosc("blosc2 lz4hc bitshuffle", blosc2.Filter.BITSHUFFLE, lz4hc, 5),
    ]
    missing = []
    for package, make in (("zstandard", _zstd), ("pcodec", _pcodec), ("soundfile", _flac)):
        try:
            alternatives.append(make())
        except ImportError:
            missing.append(package)
    ours = Alternative("lamae.storage.codec", partial(encode_digital, leads=LEADS), _decode_ours)
    return [*alternatives, ours], missing


def _decode_ours(payload: bytes, out: np.ndarray) -> np.ndarray:
    return decode_digital(payload, leads=LEADS, samples=out.shape[1], out=out)


def _as_array(payload: bytes, out: np.ndarray) -> np.ndarray:
    out[:] = np.frombuffer(payload, dtype=np.int16).reshape(out.shape)
    return out


def _decode_zlib(payload: bytes, out: np.ndarray) -> np.ndarray:
    return _as_array(zlib.decompress(payload), out)


def _blosc(name: str, shuffle: Any, codec: Any, level: int) -> Alternative:
    def encode(digital: np.ndarray) -> bytes:
        return blosc2.compress2(
            digital, codec=codec, clevel=level, filters=[shuffle], typesize=2, nthreads=1
        )

    def decode(payload: bytes, out: np.ndarray) -> np.ndarray:
        blosc2.decompress2(payload, out, nthreads=1)
        return out

    return Alternative(name, encode, decode)


def _zstd() -> Alternative:
    zstandard = importlib.import_module("zstandard")
    compressor, decompressor = zstandard.ZstdCompressor(level=3), zstandard.ZstdDecompressor()
    return Alternative(
        "zstandard 3",
        lambda digital: compressor.compress(digital.tobytes()),
        lambda payload, out: _as_array(decompressor.decompress(payload), out),
    )


def _pcodec() -> Alternative:
    standalone = importlib.import_module("pcodec.standalone")
    config = importlib.import_module("pcodec").ChunkConfig()

    def decode(payload: bytes, out: np.ndarray) -> np.ndarray:
        standalone.simple_decompress_into(payload, out.reshape(-1))
        return out

    return Alternative(
        "pcodec", lambda digital: standalone.simple_compress(digital.reshape(-1), config), decode
    )


def _flac() -> Alternative:
    """FLAC has no twelve channels: the leads follow each other in one."""
    soundfile = importlib.import_module("soundfile")

    def encode(digital: np.ndarray) -> bytes:
        stream = io.BytesIO()
        soundfile.write(stream, digital.reshape(-1), 44_100, format="FLAC", subtype="PCM_16")
        return stream.getvalue()

    def decode(payload: bytes, out: np.ndarray) -> np.ndarray:
        soundfile.read(io.BytesIO(payload), dtype="int16", out=out.reshape(-1))
        return out

    return Alternative("FLAC", encode, decode)


if __name__ == "__main__":
    main()

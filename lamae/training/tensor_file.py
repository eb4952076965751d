"""A safetensors file that is hashed as its bytes are written, without a second copy of them.

The library safetensors writes its files itself and tells no hash; reading a file again would hash
what the disk made of it. The format: https://huggingface.co/docs/safetensors.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamae.faults import of_file

_CHUNK_BYTES = 2**24
_ALIGNMENT = 8
_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write contiguous tensors of the host, and put them on disk; return `bytes` and `sha256`."""
    digest, written = hashlib.sha256(), 0
    with of_file(path), path.open("wb") as file:
        for piece in _pieces(tensors):
            file.write(piece)
            digest.update(piece)
            written += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": written, "sha256": digest.hexdigest()}


def _pieces(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a file: length of the header, header, values, by size of type and name."""
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    header, end = dict[str, Any](), 0
    for name in names:
        value, start = tensors[name], end
        end += value.nbytes
        about = {"dtype": _TYPES[value.dtype], "shape": list(value.shape)}
        header[name] = about | {"data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        values = tensors[name].reshape(-1).view(torch.uint8).numpy().data
        for start in range(0, len(values), _CHUNK_BYTES):
            yield values[start : start + _CHUNK_BYTES]

"""Texts that come more than once among millions, found in some bytes each."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

_ROWS_AT_ONCE = 2**12


def repeated(texts: Callable[[], Iterable[str]]) -> set[str]:
    """Return the texts that come more than once; `texts` is called again if there may be any.

    Their hashes are sorted, eight bytes each; the few of equal hash are counted.
    """
    hashes = np.fromiter(map(hash, texts()), dtype=np.int64)
    hashes.sort()
    doubtful = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    if not doubtful:
        return set()
    counts = Counter(text for text in texts() if hash(text) in doubtful)
    return {text for text, times in counts.items() if times > 1}


def texts_of(column: pa.ChunkedArray) -> Iterator[str]:
    """Yield the texts of a column, some thousand of them at a time in memory; nulls are left out.

    A column whose texts return may have them in dictionaries.
    """
    for chunk in column.chunks:
        for start in range(0, len(chunk), _ROWS_AT_ONCE):
            yield from chunk.slice(start, _ROWS_AT_ONCE).drop_null().to_pylist()

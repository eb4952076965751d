"""A corpus as plain tars: `<key>.npy` in millivolts and `<key>.json`, as webdataset decodes them.

Shards hold integers and what makes millivolts of them, compressed; these need no code of ours, and
take three times the bytes.
"""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lamae.files import open_whole
from lamae.storage.corpus import Corpus
from lamae.storage.samples import Sample

_FILE_RECORDS = 1024


def write_tars(corpus: Corpus, folder: Path) -> dict[str, list[str]]:
    """Write the tars of each split; returns their names."""
    written: dict[str, list[str]] = {}
    with tqdm(total=len(corpus), unit="rec", disable=None) as bar:
        for split in corpus.splits():
            rows = corpus.rows(split)
            for number, start in enumerate(range(0, len(rows), _FILE_RECORDS)):
                name = f"{split}-{number:06d}.tar"
                with (
                    open_whole(folder / name) as file,
                    tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
                ):
                    for row in rows[start : start + _FILE_RECORDS]:
                        _add(tar, corpus.sample(int(row)))
                        bar.update()
                written.setdefault(split, []).append(name)
    return written


def _add(tar: tarfile.TarFile, sample: Sample) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, sample.record.signal_mv())
    about = json.dumps(_about(sample), ensure_ascii=False, sort_keys=True).encode()
    for ending, content in (("npy", buffer.getvalue()), ("json", about)):
        member = tarfile.TarInfo(f"{sample.key}.{ending}")
        member.size, member.mode = len(content), 0o644
        tar.addfile(member, io.BytesIO(content))


def _about(sample: Sample) -> dict[str, Any]:
    record = sample.record
    return {
        "leads": record.leads,
        "sampling_rate": record.sampling_rate,
        "unit": "mV",
        "patient_id": sample.patient_id,
        "split": sample.split,
        "fold": sample.fold,
        "labels": dict(sample.labels),
        "about": dict(sample.about),
    }

"""Blocks of simulated recordings that are in files for so long only as they are built."""

import hashlib
import json
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from shards.build.blocks import Block, build_block
from shards.settings import ShardsSettings, Split
from shards.simulator.data_set import write_recordings
from shards.simulator.mimic_layout import Study
from shards.simulator.settings import SimulateSettings

BANK = 520
"""Recordings of a bank of beats, and of one of noise."""
_MEMORY = Path("/dev/shm")
BLOCKS = "blocks.jsonl"
"""A line for each run and each block that is built."""


class Scale(NamedTuple):
    """The corpus, and the folder where it is made."""

    scratch: Path
    records: int
    workers: int
    steps: int

    @property
    def simulated(self) -> SimulateSettings:
        """Settings of the recordings."""
        return SimulateSettings(output=self.tables, records=self.records, banks=BANK)

    @property
    def tables(self) -> Path:
        """Folder of the tables, in which there are no recordings."""
        return self.scratch / "tables"

    @property
    def recordings(self) -> Path:
        """Folder of the recordings of blocks, in memory where a folder can be.

        Thousands of files that come and go cost ext4 five times what the rest of making them does.
        """
        name = hashlib.sha256(str(self.scratch).encode()).hexdigest()[:16]
        return _MEMORY / f"lamae-{name}" if _MEMORY.is_dir() else self.scratch / "recordings"

    @property
    def shards(self) -> Path:
        """Folder of the shards."""
        return self.scratch / "shards"

    @property
    def build(self) -> ShardsSettings:
        """Settings of the build, those of configs/shards/mimic_iv_ecg.yaml."""
        return ShardsSettings(
            source=self.tables,
            output=self.shards,
            source_kind="mimic_iv_ecg",
            split=Split(train=0.9, val=0.05, test=0.05),
            workers=self.workers,
        )


def build_simulated_block(
    block: Block, settings: ShardsSettings, folder: Path, *, scale: Scale
) -> None:
    """Build a block of recordings that are there for so long only."""
    started = time.process_time()
    source = scale.recordings / block.name
    shutil.rmtree(source, ignore_errors=True)  # of a run that was killed
    studies, codes = list[Study](), list[str]()
    for entry in block.entries:
        *_, subject, _, study = entry.path.split("/")
        time_of = datetime.fromisoformat(entry.about["ecg_time"])
        studies.append(Study(int(subject[1:]), int(study), time_of))
        codes += entry.labels["class"] or ()
    write_recordings(scale.simulated, source, studies, codes)
    size, made = bytes_in(source), time.process_time()
    build_block(block, settings.model_copy(update={"source": source}), folder)
    built = time.process_time()
    shutil.rmtree(source)
    seconds = {"make_s": made - started, "build_s": built - made}
    peak = memory("VmHWM")
    note(scale.scratch / BLOCKS, ended=time.time(), bytes=size, peak=peak, **seconds)


def memory(name: str) -> int:
    """Return bytes of this process; ru_maxrss would begin with those of the one before it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition(f"{name}:")[2].split()[0])


def note(path: Path, **values: float) -> None:
    """Append a line."""
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")


def bytes_in(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

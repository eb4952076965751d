"""From a source to a finished folder of shards, or to one part of its blocks."""

import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tqdm import tqdm

from lamae.runs.tracking import read_summary
from shards.build.blocks import (
    Block,
    PlannedBlock,
    build_block,
    disk_errors_as_input_errors,
    exclusive_lock,
    read_block,
)
from shards.build.merge import merge_blocks
from shards.build.plan import is_finished, locked, make_plan, prepare_output
from shards.entries import BUILDING
from shards.processes import map_tasks
from shards.settings import ShardsSettings


class PartBuilt(NamedTuple):
    """Result of one part of a build."""

    blocks: int
    """Blocks of this part, all finished."""
    missing: int
    """Blocks of other parts that are not finished."""


class BuildBlock(Protocol):
    """Builds one block in a folder, as `build_block` does; travels between processes."""

    def __call__(self, block: Block, settings: ShardsSettings, folder: Path) -> None:
        """Write the block."""


def build_shards(settings: ShardsSettings, build: BuildBlock = build_block) -> dict[str, Any]:
    """Read the source, write the shards; returns the content of `summary.json`.

    A build that was interrupted goes on with what it had finished. Raises InputError for a source,
    split or output folder that cannot be used, and if no recording is left.
    """
    started = time.monotonic()
    building = settings.output / BUILDING
    with disk_errors_as_input_errors(settings.output, "its plan"):
        blocks, finished = _planned(settings)
        if finished:
            shutil.rmtree(building, ignore_errors=True)
            return read_summary(settings.output)
        with locked(building, settings.part):
            _build_missing(blocks, settings, building, build)
            summary = merge_blocks(settings.output, started=started)
    # On NFS a folder with a lock that is held cannot be removed.
    shutil.rmtree(building, ignore_errors=True)
    return summary


def build_part(settings: ShardsSettings, build: BuildBlock = build_block) -> PartBuilt:
    """Build the blocks of one part of several; `merge_blocks` makes a corpus of all of them.

    Raises what `build_shards` raises.
    """
    building = settings.output / BUILDING
    with disk_errors_as_input_errors(settings.output, "its plan"):
        blocks, finished = _planned(settings)
        own = blocks[settings.part :: settings.parts]
        if finished:
            return PartBuilt(len(own), 0)
        with locked(building, settings.part):
            _build_missing(own, settings, building, build)
    missing = sum(read_block(building, block.name) is None for block in blocks)
    return PartBuilt(len(own), missing)


def _planned(settings: ShardsSettings) -> tuple[list[PlannedBlock], bool]:
    """Return the blocks, and True where the output holds finished shards of them.

    Else the output is made ready. The entries are on disk then, and in memory no longer.
    """
    plan = make_plan(settings)
    finished = is_finished(settings.output, plan)
    if not finished:
        prepare_output(settings, plan)
    return plan.blocks, finished


def _build_missing(
    blocks: Sequence[PlannedBlock], settings: ShardsSettings, building: Path, build: BuildBlock
) -> None:
    missing = [block for block in blocks if read_block(building, block.name) is None]
    work = partial(build_unless_finished, build=build, settings=settings, folder=building)
    total, remaining = (sum(block.records for block in some) for some in (blocks, missing))
    with (
        closing(map_tasks(work, missing, processes=settings.workers)) as finished,
        tqdm(total=total, initial=total - remaining, unit="rec", disable=None) as bar,
    ):
        for number in finished:
            bar.update(number)


def build_unless_finished(
    block: PlannedBlock, build: BuildBlock, settings: ShardsSettings, folder: Path
) -> int:
    """Build a block, or wait while another process builds it; returns its number of recordings.

    Raises InputError where the disk does not take it.
    """
    with (
        disk_errors_as_input_errors(settings.output, block.name),
        exclusive_lock(folder, block.name),
    ):
        if read_block(folder, block.name) is None:
            build(block.read(folder), settings, folder)
    return block.records

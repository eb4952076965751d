"""Acts of the verbs of shards/main.py, and the lines that they print."""

from collections.abc import Iterator, Mapping
from typing import Any

from lamae.command_line import exit_with
from shards.build.merge import merge_blocks
from shards.build.run import PartBuilt, build_part, build_shards
from shards.describe.settings import DescribeSettings
from shards.export.settings import FormatSettings, UploadSettings
from shards.hdf5.settings import ImportSettings
from shards.settings import CommandSettings, InspectSettings, MergeSettings, VerifySettings
from shards.sharing.settings import OverlapSettings, SplitsSettings
from shards.show import description_lines, summary_lines, verification_lines
from shards.simulator.settings import SimulateSettings


def build(settings: CommandSettings) -> Iterator[str]:
    """Build the shards or a part of them, and say what there is now."""
    if settings.parts == 1:
        yield from summary_lines(settings.output, _build_all(settings))
        return
    built = _build_some(settings)
    yield f"part {settings.part} of {settings.parts}: {built.blocks} shards finished"
    if built.missing:
        yield f"{built.missing} shards of other parts are missing"
    else:
        yield f"all parts are finished: python shards/main.py merge output={settings.output}"


def inspect(settings: InspectSettings) -> Iterator[str]:
    """Say how a source would be read, without writing anything."""
    from shards.inspection import inspect_source

    yield from inspect_source(settings)


def merge(settings: MergeSettings) -> Iterator[str]:
    """Finish shards that were built in parts, and say what there is now."""
    yield from summary_lines(settings.output, merge_blocks(settings.output))


def verify(settings: VerifySettings) -> Iterator[str]:
    """Check every byte of a folder of shards; exits 1 if any is not what was written."""
    from shards.verify.corpus import verify_shards

    found = verify_shards(settings.data, workers=settings.workers)
    yield from verification_lines(found)
    if found.problems:
        exit_with(f"{len(found.problems)} problems in {settings.data}", status=1)


def splits(settings: SplitsSettings) -> Iterator[str]:
    """Write the file of splits, and say what is in it."""
    from shards.sharing.splits import write_splits

    yield from _pairs(write_splits(settings))


def overlap(settings: OverlapSettings) -> Iterator[str]:
    """Say what two corpora have in common; exits 1 where training and evaluation meet."""
    from shards.sharing.overlap import find_overlap, overlap_lines

    found = find_overlap(settings)
    yield from overlap_lines(found, settings)
    if found.forbidden:
        number = found.forbidden.total()
        exit_with(f"{number} recordings are trained on and evaluated on", status=1)


def describe(settings: DescribeSettings) -> Iterator[str]:
    """Say what is inside a folder of shards, and write a page about it."""
    from shards.describe.page import describe_shards

    yield from description_lines(describe_shards(settings))
    yield f"page: {settings.page}"


def simulate(settings: SimulateSettings) -> Iterator[str]:
    """Write simulated recordings and say what they are."""
    from shards.simulator.data_set import simulate as write_recordings

    yield from _pairs(write_recordings(settings))


def export_corpus(settings: FormatSettings) -> Iterator[str]:
    """Write shards in a format of others and say what is in it."""
    from shards.export.run import export

    yield from _pairs(export(settings))


def upload(settings: UploadSettings) -> Iterator[str]:
    """Upload a folder to the Hub, and say where it is."""
    from shards.export.upload import upload as upload_folder

    yield from upload_folder(settings)


def import_hdf5(settings: ImportSettings) -> Iterator[str]:
    """Make shards of an exported HDF5 file, and say what there is now."""
    from shards.hdf5.import_file import import_shards

    yield from summary_lines(settings.output, import_shards(settings))


def _build_all(settings: CommandSettings) -> dict[str, Any]:
    """Build the shards, wherever they and their source are."""
    if not settings.remote:
        return build_shards(settings.in_folders(settings.source, settings.output))
    from shards.remote.build import build_remote_shards  # imports fsspec

    return build_remote_shards(settings)


def _build_some(settings: CommandSettings) -> PartBuilt:
    """Build one part of the shards, wherever their source is."""
    if not settings.remote:
        return build_part(settings.in_folders(settings.source, settings.output))
    from shards.remote.build import build_remote_part  # imports fsspec

    return build_remote_part(settings)


def _pairs(values: Mapping[str, Any]) -> Iterator[str]:
    return (f"{name}: {value}" for name, value in values.items())

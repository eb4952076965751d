"""Raw recordings become shards.

python shards/main.py configs/shards/ptbxl.yaml source=<folder> output=<shards>
python shards/main.py configs/shards/ptbxl.yaml source=<folder> output=<shards> part=0 parts=16
python shards/main.py configs/shards/ptbxl.yaml source=<URL> output=<URL> scratch=<folder>
python shards/main.py merge output=<shards>
python shards/main.py simulate configs/shards/simulate.yaml output=<folder>
python shards/main.py verify <shards>
python shards/main.py describe <shards>
python shards/main.py export data=<shards> output=<file.h5>
python shards/main.py import source=<file.h5> output=<shards>
Any setting can be given as key=value; --print-config shows all of them.
"""

import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

if not __package__:  # run as a file: import this checkout, and never shards/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from lamae.config import FolderPath, Settings, exit_with, settings_from_command_line
from lamae.errors import InputError
from shards.build.merge import merge_blocks
from shards.build.run import PartBuilt, build_part, build_shards
from shards.settings import CommandSettings
from shards.show import description_lines, summary_lines, verification_lines


class VerifySettings(Settings):
    """Which shards are verified."""

    data: FolderPath
    """Folder of shards."""
    workers: int = Field(1, ge=1)
    """Processes; one is fastest below some ten thousand records, for others take time to start."""


class MergeSettings(Settings):
    """Where parts were built."""

    output: FolderPath
    """Folder that the parts have in common."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; exits 2 on input that cannot be used, 130 when interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    # A scheduler's SIGTERM ends the run as Ctrl-C does, and so ends its processes as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    verbs = {
        "simulate": simulate_recordings,
        "merge": merge_parts,
        "export": export_hdf5,
        "verify": verify,
        "describe": describe,
        "import": import_hdf5,
    }
    try:
        if arguments[0] in verbs:
            verbs[arguments[0]](arguments[1:])
        else:
            make_shards(arguments)
    except (InputError, ChildProcessError) as error:
        exit_with(str(error))
    except KeyboardInterrupt:
        exit_with("\ninterrupted: give the same command to go on", status=130)


def make_shards(arguments: Sequence[str]) -> None:
    """Build the shards or a part of them, and say what there is now."""
    settings = settings_from_command_line(CommandSettings, arguments)
    if settings.parts == 1:
        show(summary_lines(settings.output, build_all(settings)))
        return
    built = build_some(settings)
    print(f"part {settings.part} of {settings.parts}: {built.blocks} shards finished")
    if built.missing:
        print(f"{built.missing} shards of other parts are missing")
    else:
        print(f"all parts are finished: python shards/main.py merge output={settings.output}")


def build_all(settings: CommandSettings) -> dict[str, Any]:
    """Build the shards, wherever they and their source are."""
    if not settings.remote:
        return build_shards(settings.in_folders(settings.source, settings.output))
    from shards.remote.build import build_remote_shards  # imports fsspec

    return build_remote_shards(settings)


def build_some(settings: CommandSettings) -> PartBuilt:
    """Build one part of the shards, wherever their source is."""
    if not settings.remote:
        return build_part(settings.in_folders(settings.source, settings.output))
    from shards.remote.build import build_remote_part  # imports fsspec

    return build_remote_part(settings)


def merge_parts(arguments: Sequence[str]) -> None:
    """Finish shards that were built in parts, and say what there is now."""
    output = settings_from_command_line(MergeSettings, arguments).output
    show(summary_lines(output, merge_blocks(output)))


def verify(arguments: Sequence[str]) -> None:
    """Check every byte of a folder of shards; exits 1 if any is not what was written."""
    from shards.verify.corpus import verify_shards

    settings = settings_from_command_line(VerifySettings, folder_first(arguments))
    found = verify_shards(settings.data, workers=settings.workers)
    show(verification_lines(found))
    if found.problems:
        exit_with(f"{len(found.problems)} problems in {settings.data}", status=1)


def describe(arguments: Sequence[str]) -> None:
    """Say what is inside a folder of shards, and write a page about it."""
    from shards.describe.page import DescribeSettings, describe_shards

    settings = settings_from_command_line(DescribeSettings, folder_first(arguments))
    show(description_lines(describe_shards(settings)))
    print(f"page: {settings.page}")


def show(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        print(line)


def folder_first(arguments: Sequence[str]) -> list[str]:
    """Let the folder be given by itself, as `data=` before the settings."""
    first, *others = arguments or [""]
    alone = first and "=" not in first and not first.startswith("-")
    return [f"data={first}", *others] if alone else list(arguments)


def simulate_recordings(arguments: Sequence[str]) -> None:
    """Write simulated recordings and print what they are."""
    from shards.simulator.data_set import SimulateSettings, simulate

    summary = simulate(settings_from_command_line(SimulateSettings, arguments))
    show(f"{name}: {value}" for name, value in summary.items())


def export_hdf5(arguments: Sequence[str]) -> None:
    """Write shards as one HDF5 file and print what is in it."""
    from shards.hdf5.export import ExportSettings, export_shards

    found = export_shards(settings_from_command_line(ExportSettings, arguments))
    show(f"{name}: {value}" for name, value in found.items())


def import_hdf5(arguments: Sequence[str]) -> None:
    """Make shards of an exported HDF5 file, and say what there is now."""
    from shards.hdf5.import_file import ImportSettings, import_shards

    settings = settings_from_command_line(ImportSettings, arguments)
    show(summary_lines(settings.output, import_shards(settings)))


if __name__ == "__main__":
    main()

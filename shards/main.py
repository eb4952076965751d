"""Raw recordings become shards.

python shards/main.py configs/shards/ptbxl.yaml source=<folder> output=<shards>
python shards/main.py configs/shards/ptbxl.yaml source=<folder> output=<shards> part=0 parts=16
python shards/main.py merge output=<shards>
python shards/main.py simulate configs/shards/simulate.yaml output=<folder>
Any setting can be given as key=value; --print-config shows all of them.
"""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: import this checkout, and never shards/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from lamae.config import FolderPath, Settings, exit_with, settings_from_command_line
from lamae.corpus import MANIFEST
from lamae.errors import InputError
from shards.build import build_part, build_shards
from shards.merge import merge_blocks
from shards.rejects import REJECTS
from shards.settings import ShardsSettings


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
    verbs = {"simulate": simulate_recordings, "merge": merge_parts}
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
    settings = settings_from_command_line(ShardsSettings, arguments)
    if settings.parts == 1:
        show_summary(settings.output, build_shards(settings))
        return
    built = build_part(settings)
    print(f"part {settings.part} of {settings.parts}: {built.blocks} shards finished")
    if built.missing:
        print(f"{built.missing} shards of other parts are missing")
    else:
        print(f"all parts are finished: python shards/main.py merge output={settings.output}")


def merge_parts(arguments: Sequence[str]) -> None:
    """Finish shards that were built in parts, and say what there is now."""
    output = settings_from_command_line(MergeSettings, arguments).output
    show_summary(output, merge_blocks(output))


def show_summary(output: Path, summary: Mapping[str, Any]) -> None:
    """Print what was written, what was rejected, and where it is."""
    for split, count in summary["splits"].items():
        print(f"{split:>5}: {count['records']} records of {count['patients']} patients")
    for reason, number in summary["rejects"].items():
        print(f"rejected {number}: {reason}")
    for reason, number in summary["flags"].items():
        print(f"flagged {number}: {reason}")
    if summary["left_out"]:
        print(f"left out {summary['left_out']}: in no split")
    if summary["record_without_label_row"]:
        print(f"unlabelled {summary['record_without_label_row']}: record_without_label_row")
    for name, number in summary["dropped_signals"].items():
        print(f"dropped {number}: signal {name!r} is no standard lead")
    if summary["rejects"]:
        print(f"each reject: {output / REJECTS}")
    print(f"wrote {summary['records']} records in {summary['seconds']} s: {output / MANIFEST}")


def simulate_recordings(arguments: Sequence[str]) -> None:
    """Write simulated recordings and print what they are."""
    from shards.simulate import SimulateSettings, simulate

    summary: dict[str, Any] = simulate(settings_from_command_line(SimulateSettings, arguments))
    for name, value in summary.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()

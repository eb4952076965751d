"""Raw recordings become shards.

python shards/main.py configs/shards/ptbxl.yaml source=<folder> output=<folder>
python shards/main.py simulate configs/shards/simulate.yaml output=<folder>
Any setting can be given as key=value; --print-config shows all of them.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: import this checkout, and never shards/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from lamae.config import exit_with, settings_from_command_line
from lamae.corpus import MANIFEST
from lamae.errors import InputError
from shards.build import build_shards
from shards.report import REJECTS
from shards.settings import ShardsSettings


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; exits 2 on input that cannot be used, 130 when interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return
    # A scheduler's SIGTERM ends the run as Ctrl-C does, and so ends its processes as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments[0] == "simulate":
            simulate_recordings(arguments[1:])
        else:
            make_shards(arguments)
    except (InputError, ChildProcessError) as error:
        exit_with(str(error))
    except KeyboardInterrupt:
        exit_with("\ninterrupted: nothing is finished; run again to start over", status=130)


def make_shards(arguments: Sequence[str]) -> None:
    """Build the shards and print what was written, what was rejected, and where it is."""
    settings = settings_from_command_line(ShardsSettings, arguments)
    summary = build_shards(settings)
    for split, count in summary["splits"].items():
        print(f"{split:>5}: {count['records']} records of {count['patients']} patients")
    for reason, number in summary["rejects"].items():
        print(f"rejected {number}: {reason}")
    if summary["left_out"]:
        print(f"left out {summary['left_out']}: in no split")
    if summary["record_without_label_row"]:
        print(f"unlabelled {summary['record_without_label_row']}: record_without_label_row")
    for name, number in summary["dropped_signals"].items():
        print(f"dropped {number}: signal {name!r} is no standard lead")
    if summary["rejects"]:
        print(f"each reject: {settings.output / REJECTS}")
    print(
        f"wrote {summary['records']} records in {summary['seconds']} s: "
        f"{settings.output / MANIFEST}"
    )


def simulate_recordings(arguments: Sequence[str]) -> None:
    """Write simulated recordings and print what they are."""
    from shards.simulate import SimulateSettings, simulate

    summary: dict[str, Any] = simulate(settings_from_command_line(SimulateSettings, arguments))
    for name, value in summary.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()

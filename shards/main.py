"""Raw recordings become shards: `python shards/main.py --help` shows the verbs and settings."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: import this checkout, and never shards/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from lamae.command_line import run_program
from lamae.commands import Program, Verb

PROGRAM = Program(
    command="python shards/main.py",
    summary="Raw recordings become shards.",
    interrupted="interrupted: give the same command to go on",
    afterwards="give the same command: what is finished is kept",
    verbs={
        "build": Verb(
            settings="shards.settings:CommandSettings",
            run="shards.commands:build",
            summary="Build shards of recordings, all or one of several parts.",
            example="configs/shards/ptbxl.yaml source=<ptbxl> output=<shards>",
        ),
        "inspect": Verb(
            settings="shards.settings:InspectSettings",
            run="shards.commands:inspect",
            summary="Show how a folder or a file would be read; nothing is written.",
            example="<folder> table=<table.csv>",
            first="source",
        ),
        "merge": Verb(
            settings="shards.settings:MergeSettings",
            run="shards.commands:merge",
            summary="Finish shards that were built in parts.",
            example="output=<shards>",
        ),
        "verify": Verb(
            settings="shards.settings:VerifySettings",
            run="shards.commands:verify",
            summary="Check every byte of a folder of shards.",
            example="<shards>",
            first="data",
        ),
        "splits": Verb(
            settings="shards.sharing.settings:SplitsSettings",
            run="shards.commands:splits",
            summary="Write the split of each recording to a file with a checksum, to share it.",
            example="<shards> output=splits.csv",
            first="data",
        ),
        "overlap": Verb(
            settings="shards.sharing.settings:OverlapSettings",
            run="shards.commands:overlap",
            summary="Find recordings that are in two corpora, whatever their names.",
            example="<shards> other=<shards>",
            first="data",
        ),
        "describe": Verb(
            settings="shards.describe.settings:DescribeSettings",
            run="shards.commands:describe",
            summary="Say what is in a folder of shards, and write a page about it.",
            example="<shards>",
            first="data",
        ),
        "simulate": Verb(
            settings="shards.simulator.settings:SimulateSettings",
            run="shards.commands:simulate",
            summary="Write simulated recordings with known diagnoses.",
            example="configs/shards/simulate.yaml output=<folder>",
        ),
        "export": Verb(
            settings="shards.export.settings:FormatSettings",
            run="shards.commands:export_corpus",
            summary="Write shards as one HDF5 file, a folder of Parquet, or plain tars.",
            example="data=<shards> output=<folder> format=parquet",
        ),
        "upload": Verb(
            settings="shards.export.settings:UploadSettings",
            run="shards.commands:upload",
            summary="Upload an export, or shards, to the Hugging Face Hub.",
            example="<folder> to=hf://datasets/<owner>/<name> may_share=true",
            first="data",
        ),
        "import": Verb(
            settings="shards.hdf5.settings:ImportSettings",
            run="shards.commands:import_hdf5",
            summary="Make shards of an exported HDF5 file.",
            example="source=<file.h5> output=<shards>",
        ),
    },
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; exits 2 on input that cannot be used, 130 when interrupted."""
    # A scheduler's SIGTERM ends the run as Ctrl-C does, and so ends its processes as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run_program(PROGRAM, arguments)


if __name__ == "__main__":
    main()

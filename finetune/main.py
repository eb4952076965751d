"""An encoder and labelled shards become a diagnosis model and a report.

`accelerate launch finetune/main.py --help` shows the verbs and settings; the verbs are in
finetune/commands.py, and finetune/run.py reads like a run: data, candidates, training, evaluation,
report.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: import this checkout, and never finetune/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from finetune.commands import VERBS
from lamae.command_line import run_program
from lamae.commands import Program

PROGRAM = Program(
    command="accelerate launch finetune/main.py",
    summary="An encoder and labelled shards become a diagnosis model and a report.",
    verbs=VERBS,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; exits 2 on input that cannot be used, 130 when interrupted."""
    run_program(PROGRAM, arguments)


if __name__ == "__main__":
    main()

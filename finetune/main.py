"""Train a classifier and evaluate it beside its baselines, or use one that was trained.

accelerate launch finetune/main.py CONFIG.yaml encoder=RUN data=SHARDS run_dir=FOLDER
accelerate launch finetune/main.py VERB ...
lamae VERB ...

The verbs are in finetune/commands.py, and the stages of a run in finetune/run.py. `--help` shows
the verbs, and every setting behind a verb.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: import this checkout, and never finetune/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from finetune.commands import VERBS
from lamae.command_line import run_program
from lamae.commands import Program

SCRIPT = "lamae"
"""Name of the program as it is installed."""

PROGRAM = Program(
    command="accelerate launch finetune/main.py",
    summary="Train a classifier and evaluate it beside its baselines, or use one that was trained.",
    afterwards="give the same command: what is finished is kept",
    verbs=VERBS,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; exits 2 on input that cannot be used, 130 when interrupted."""
    installed = Path(sys.argv[0]).name == SCRIPT
    run_program(PROGRAM._replace(command=SCRIPT) if installed else PROGRAM, arguments)


if __name__ == "__main__":
    main()

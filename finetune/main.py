"""Train a classifier and evaluate it beside its baselines, or use one that was trained.

accelerate launch finetune/main.py CONFIG.yaml encoder=RUN data=SHARDS run_dir=FOLDER
accelerate launch finetune/main.py VERB ...

The verbs are in finetune/commands.py, and the stages of a run in finetune/run.py. Any setting can
be given as key=value; --print-config shows all of them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: import this checkout, and never finetune/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from finetune.commands import VERBS
from lamae.commands import find
from lamae.config import exit_with, settings_from_command_line
from lamae.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and end with one line where the input is wrong or the user interrupts."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = arguments.pop(0) if arguments and arguments[0] in VERBS else next(iter(VERBS))
    try:
        settings = settings_from_command_line(find(VERBS[name].settings), arguments)
        for line in find(VERBS[name].run)(settings):
            sys.stdout.write(f"{line}\n")
    except InputError as error:
        exit_with(f"error: {error}")
    except KeyboardInterrupt as interruption:
        exit_with(str(interruption) or "interrupted", status=130)


if __name__ == "__main__":
    main()

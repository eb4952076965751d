"""Pretrain LAMAE: `accelerate launch pretrain/main.py CONFIG.yaml data=SHARDS run_dir=FOLDER`.

Leaves in run_dir: model/ for finetune/main.py, checkpoints/, metrics.jsonl, tensorboard/ and
summary.json. `--help` shows every setting.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: import this checkout, and never pretrain/ as top level
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from lamae.command_line import run_program
from lamae.commands import Program, Verb

PROGRAM = Program(
    command="accelerate launch pretrain/main.py",
    summary="Pretrain LAMAE on shards; the encoder is for finetune/main.py.",
    interrupted="interrupted: give resume=true to go on from the newest checkpoint",
    afterwards="give the same command, with resume=true if there are checkpoints: these are whole",
    verbs={
        "train": Verb(
            settings="pretrain.settings:PretrainSettings",
            run="pretrain.run:start",
            summary="Pretrain LAMAE on shards.",
            example="configs/pretrain/small.yaml data=<shards> run_dir=<folder>",
        )
    },
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; exits 2 on input that cannot be used, 130 when interrupted."""
    run_program(PROGRAM, arguments)


if __name__ == "__main__":
    main()

"""Pretrain LAMAE: `accelerate launch pretrain/main.py CONFIG.yaml data=SHARDS run_dir=FOLDER`.

Leaves in run_dir: model/ for finetune/main.py, checkpoints/, metrics.jsonl, tensorboard/, run.json
and summary.json. With `check` before CONFIG.yaml it says whether that would go; `status FOLDER`
says how a run is. `--help` shows the verbs, and every setting behind a verb.
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
        ),
        "check": Verb(
            settings="pretrain.settings:PretrainSettings",
            run="pretrain.trial:check",
            summary="Say whether a run would go on these processes, and how fast; nothing is kept.",
            example="configs/pretrain/small.yaml data=<shards> run_dir=<folder>",
        ),
        "status": Verb(
            settings="pretrain.monitoring.settings:StatusSettings",
            run="pretrain.monitoring.status:status",
            summary="Say how a run is, while it goes on or afterwards, from its folder alone.",
            example="<run>",
            first="run_dir",
        ),
    },
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program; exits 2 on input that cannot be used, 130 when interrupted."""
    run_program(PROGRAM, arguments)


if __name__ == "__main__":
    main()

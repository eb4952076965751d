"""Help and mistakes of every program: what is said, where, and what is not imported for it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from lamae.command_line import run_program
from lamae.commands import Program, find
from lamae.config import Settings
from lamae.settings.schema import keys_of

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("shards", "pretrain", "finetune")
HEAVY = {"torch", "scipy", "matplotlib", "accelerate", "datasets", "pandas", "transformers"}

SAY = """
import contextlib, io, json, runpy, sys
program = sys.argv[1]
said = []
for line in json.load(sys.stdin):
    sys.argv = [program, *line]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as ended:
            said.append([ended.code, out.getvalue(), err.getvalue()])
        else:
            said.append([None, "", ""])
print(json.dumps([said, sorted(sys.modules)]))
"""
"""Gives one program many command lines, and tells how each ended and what all have imported."""


class Said(NamedTuple):
    """The end of a program."""

    status: int
    out: str
    err: str


def say(program: str, *lines: str) -> list[Said]:
    """Give a program command lines of which none starts work; assert that all were light."""
    command = [sys.executable, "-c", SAY, f"{program}/main.py"]
    text = json.dumps([shlex.split(line) for line in lines])
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, modules = json.loads(done.stdout)
    assert not HEAVY & {name.partition(".")[0] for name in modules}
    return [Said(*each) for each in said]


class Answers(NamedTuple):
    """What a program says to harmless command lines."""

    program: Program
    bare: Said
    """To no arguments."""
    helped: list[Said]
    """To forms of a call for help."""
    by_verb: dict[str, Said]
    """To a call for the help of each verb."""
    bare_verbs: list[Said]
    """To each verb without arguments."""
    examples: dict[str, Said]
    """To the example of each verb."""


@pytest.fixture(scope="module", params=PROGRAMS)
def answers(request: pytest.FixtureRequest) -> Answers:
    program = find(f"{request.param}.main:PROGRAM")
    examples = [f"{name} {verb.example} --print-config" for name, verb in program.verbs.items()]
    calls = ["--help", "-h", "-h data=x"]
    helps = [f"{name} --help" for name in program.verbs]
    asked = ["", *calls, *helps, *program.verbs, *(re.sub("[<>]", "", line) for line in examples)]
    bare, *said = say(request.param, *asked)
    first, second = 3 + len(helps), 3 + 2 * len(helps)
    by_verb = dict(zip(program.verbs, said[3:first], strict=True))
    shown = dict(zip(examples, said[second:], strict=True))
    return Answers(program, bare, said[:3], by_verb, said[first:second], shown)


def test_help_names_every_verb_and_setting(answers: Answers) -> None:
    verbs, whole = answers.program.verbs, answers.helped[0].out
    by_default = answers.by_verb[answers.program.default]
    assert answers.helped == [Said(0, whole, ""), Said(0, whole, ""), by_default]
    for name, (status, text, err) in answers.by_verb.items():
        assert (status, err) == (0, "") and text.startswith(f"usage: {answers.program.command}")
        assert (f"\n  {name} " in whole and verbs[name].summary[:30] in whole) or len(verbs) == 1
        for key in keys_of(find(verbs[name].settings)):
            assert f"\n  {key.name}=" in text and key.sentence
        assert verbs[name].summary[0].isupper() and verbs[name].summary.endswith(".")


def test_without_arguments_the_help_is_an_error(answers: Answers) -> None:
    assert answers.bare == Said(2, "", answers.helped[0].out)
    assert all(said.status == 2 and said.err.startswith("usage: ") for said in answers.bare_verbs)


def test_every_example_is_understood(answers: Answers) -> None:
    assert not {line: said.err for line, said in answers.examples.items() if said.status}


def test_verbs_name_settings_and_functions_that_are_there(answers: Answers) -> None:
    for verb in answers.program.verbs.values():
        settings = find(verb.settings)
        assert issubclass(settings, Settings)
        assert verb.first is None or verb.first in settings.model_fields
        module, _, function = verb.run.partition(":")
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        assert f"\ndef {function}(settings: {settings.__name__}" in source


def test_mistakes_are_named_at_once() -> None:
    verb, key, blanks, both = say(
        "finetune",
        "predcit data=x",
        "data=x epochs=3",
        "encoder = run",
        "predict source=1 whta=2 model=x output=y.csv min_leads=0",
    )
    assert verb.err.startswith("error: predcit: no verb. Did you mean predict?\nverbs: train, ")
    assert "error: epochs: unknown key. Did you mean training.epochs" in key.err
    assert "error: encoder = run: no blanks around =. Give encoder=run\n" in blanks.err
    assert both.err.count("error: ") == 2
    assert both.err.endswith("help: accelerate launch finetune/main.py predict --help\n")
    assert {said.status for said in (verb, key, blanks, both)} == {2}


def test_a_folder_is_given_by_itself_where_a_verb_takes_one() -> None:
    alone, named, wrong = say(
        "shards",
        "verify some/shards workers=2 --print-config",
        "verify --data some/shards --print-config",
        "verify some shards",
    )
    assert alone.out.replace("2", "1") == named.out == "data: some/shards\nworkers: 1\n"
    assert wrong.status == 2 and "error: shards: not understood" in wrong.err


@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_several_processes_one_shows_the_help(
    rank: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(SystemExit):
        run_program(find("shards.main:PROGRAM"), ["merge", "-h"])
    assert bool(capsys.readouterr().out) == (rank == "0")


def test_an_interrupt_while_modules_are_imported_ends_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("open('importing', 'w').close()\nwhile True: pass\n")
    command = [sys.executable, str(ROOT / "pretrain" / "main.py"), "data=x", "run_dir=y"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        while not (tmp_path / "importing").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (130, "interrupted")

"""A command line becomes the work it asks for, its help, or a sentence on what is wrong with it.

Modules are imported once they are needed: help and errors come at once, and an interruption ends
in a line even while they are imported.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from lamae.commands import Program, Verb, find

if TYPE_CHECKING:
    from lamae.config import Settings

_HELP = ("-h", "--help")
_BROKEN_PIPE = 128 + 13
"""Exit status of a program that SIGPIPE ends."""
_PRINT_CONFIG = "--print-config"


def run_program(program: Program, arguments: Sequence[str] | None = None) -> None:
    """Do what a command line says, or say in a line why that cannot be done.

    Exits 2 on input, disks and folders that cannot be used, 130 if interrupted. A verb may raise a
    KeyboardInterrupt that says what is left of its work.
    """
    message = "interrupted"
    try:
        name, settings = understand(program, sys.argv[1:] if arguments is None else arguments)
        run = find(program.verbs[name].run)
        message = program.interrupted
        _run(run, settings, program)
    except ModuleNotFoundError as error:
        _explain(error)
    except KeyboardInterrupt as interruption:
        exit_with(f"\n{str(interruption) or message}", status=130)


def understand(program: Program, arguments: Sequence[str]) -> "tuple[str, Settings]":
    """Return the name of a verb and its settings; exits where the answer is help or an error."""
    name, rest = _divide(program, arguments)
    asked = [word for word in arguments if word in program.verbs]
    if any(word in _HELP for word in arguments):
        others = [program.default] if {*arguments} - {*_HELP} else [None]
        _show_usage(program, (asked or others)[0])
    if not arguments or (not rest and _needs_settings(program.verbs[name])):
        _show_usage(program, name if arguments else None, status=2)
    return name, _settings(program, name, rest)


def exit_with(message: str, *, status: int = 2) -> NoReturn:
    """End the program with `message` on standard error; 2 is wrong input, 130 an interruption.

    Where a launcher started several processes, one of them may have a progress bar on the line.
    """
    start = "" if os.environ.get("RANK", "0") == "0" else "\n"
    sys.stderr.write(f"{start}{message}\n")
    raise SystemExit(status)


def _explain(error: ModuleNotFoundError) -> NoReturn:
    """End with a sentence on a package that is not installed; another mistake is raised again."""
    from lamae.packages import missing_package

    sentence = missing_package(error)
    if sentence is None:
        raise error
    exit_with(f"error: {sentence}")


def _run(run: Any, settings: "Settings", program: Program) -> None:
    from lamae.errors import SentenceError
    from lamae.faults import about, fault

    try:
        lines: Iterable[str] | None = run(settings)
        for line in lines or ():
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except (SentenceError, ChildProcessError) as error:
        exit_with(f"error: {error}")
    except BrokenPipeError:  # who read the lines has gone, as `head` does: nothing to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_BROKEN_PIPE) from None
    except OSError as error:
        if sys.flags.dev_mode:  # python -X dev: where it happened
            raise
        exit_with(f"error: {fault(error, about(error), afterwards=program.afterwards)}")


def _divide(program: Program, arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the verb and the arguments behind it."""
    if not arguments or not _alone(arguments):
        return program.default, list(arguments)
    word, *rest = arguments
    if word in program.verbs:
        first = program.verbs[word].first
        if first and _alone(rest):
            rest[0] = f"{first}={rest[0]}"
        return word, rest
    if len(program.verbs) == 1:
        return program.default, list(arguments)
    from difflib import get_close_matches

    near = get_close_matches(word, program.verbs, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    exit_with(
        f"error: {word}: no verb.{meant}\n"
        f"verbs: {', '.join(program.verbs)}\nhelp: {program.command} --help"
    )


def _alone(arguments: Sequence[str]) -> bool:
    """Tell a word in the first place from an option, setting, file, and `key` of `key = x`."""
    word, following = [*arguments[:2], "", ""][:2]
    setting = "=" in word or word.startswith("-") or following.startswith("=")
    return bool(word) and not setting and not word.endswith((".yaml", ".yml"))


def _needs_settings(verb: Verb) -> bool:
    return any(field.is_required() for field in find(verb.settings).model_fields.values())


def _settings(program: Program, name: str, arguments: Sequence[str]) -> "Settings":
    from lamae.config import ConfigError, as_yaml, load_settings

    given = [argument for argument in arguments if argument != _PRINT_CONFIG]
    try:
        settings = load_settings(find(program.verbs[name].settings), given)
    except ConfigError as error:
        lines = [f"error: {line}" for line in str(error).splitlines()]
        verb = f" {name}" if len(program.verbs) > 1 else ""
        exit_with("\n".join([*lines, f"help: {program.command}{verb} --help"]))
    if len(given) < len(arguments):
        _show(as_yaml(settings))
        raise SystemExit(0)
    return settings


def _show_usage(program: Program, name: str | None, *, status: int = 0) -> NoReturn:
    from lamae.usage import program_usage, verb_usage

    text = program_usage(program) if name is None else verb_usage(program, name)
    if status:
        exit_with(text.rstrip("\n"), status=status)
    _show(text)
    raise SystemExit(0)


def _show(text: str) -> None:
    """Write a text once, where a launcher started several processes."""
    if os.environ.get("RANK", "0") == "0":
        sys.stdout.write(text)

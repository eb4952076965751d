"""Help of a program and of each verb: usage, verbs, settings with their defaults, an example."""

import argparse
from functools import partial

from lamae.commands import Program, find
from lamae.settings.schema import groups_of

_COLUMN = 30


def usage_line(program: Program, name: str) -> str:
    """Return the form of a verb's command line."""
    verb = program.verbs[name]
    words = [program.command, *([name] if name != program.default else [])]
    words += [f"[{verb.first}=]{verb.first.upper()}"] if verb.first else ["[CONFIG.yaml]"]
    return " ".join([*words, "[key=value ...]"])


def example_line(program: Program, name: str) -> str:
    """Return a command that does a verb."""
    shown = [program.command, name if name != program.default else "", program.verbs[name].example]
    return " ".join(word for word in shown if word)


def program_usage(program: Program) -> str:
    """Return the help of a program: its verbs, or the settings of its only one."""
    if len(program.verbs) == 1:
        return verb_usage(program, program.default)
    parser = _parser(program, program.default, program.summary)
    parser.usage = f"{program.command} VERB [CONFIG.yaml] [key=value ...]"
    group = parser.add_argument_group(
        "verbs", f"{program.command} VERB --help shows the settings of a verb"
    )
    for name, verb in program.verbs.items():
        default = " Done where no verb is named." * (name == program.default)
        _add(group, name, f"{verb.summary}{default}")
    _add_options(parser)
    return parser.format_help()


def verb_usage(program: Program, name: str) -> str:
    """Return the help of a verb."""
    parser = _parser(program, name, program.verbs[name].summary)
    _add_settings(parser, program, name)
    return parser.format_help()


def _parser(program: Program, name: str, summary: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        usage=usage_line(program, name),
        description=summary,
        epilog=f"example:\n  {example_line(program, name)}",
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=_COLUMN),
        add_help=False,
    )


def _add_settings(parser: argparse.ArgumentParser, program: Program, name: str) -> None:
    for title, sentence, keys in groups_of(find(program.verbs[name].settings)):
        group = parser.add_argument_group(title, sentence)
        for key in keys:
            default = "<value>" if key.default is None else key.default
            _add(group, f"{key.name}={default}", f"{key.sentence} ({key.kind})")
    _add_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options")
    _add(group, "--print-config", "Show all settings as YAML, and end.")
    _add(group, "-h, --help", "Show this, and end.")


def _add(group: argparse._ArgumentGroup, shown: str, sentence: str) -> None:
    group.add_argument("shown", metavar=shown, nargs="?", help=sentence.replace("%", "%%"))

"""Reference of programs: pages in Markdown of every verb and setting, made of the classes.

`python -m lamae.reference FOLDER shards.main:PROGRAM ...`, which `make reference` does.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lamae.command_line import exit_with
from lamae.commands import Program, find
from lamae.settings.schema import Key, groups_of
from lamae.usage import example_line, usage_line

_MAX_LINES = 200
MADE = "<!-- Made by `make reference` of the settings' docstrings: change those. -->"
"""First line of a page, by which it is known."""

_FORMS = """\
A setting is given as `key=value`, `--key value` or `--key=value`, or in a YAML file; what comes
later on the command line wins. `--print-config` shows all settings as YAML, and `--help` what is
here."""


def reference_pages(program: Program) -> dict[str, str]:
    """Return the pages of a program by their names: one, or one for each verb where it is long."""
    name = program.command.split()[-1].partition("/")[0]
    head = [f"# {name}", "", MADE, "", program.summary, "", _FORMS, ""]
    verbs = {verb: list(_verb(program, verb)) for verb in program.verbs}
    chapters = [line for verb, lines in verbs.items() for line in ("", f"## {verb}", "", *lines)]
    whole = [*head, *_table_of_verbs(program, {verb: f"#{verb}" for verb in verbs}), *chapters]
    if len(whole) <= _MAX_LINES:
        return {f"{name}.md": _text(whole)}
    links = {verb: f"{name}_{verb}.md" for verb in verbs}
    pages = {links[v]: _text([f"# {name}: {v}", "", MADE, "", *ls]) for v, ls in verbs.items()}
    return {f"{name}.md": _text([*head, *_table_of_verbs(program, links)]), **pages}


def write_reference(folder: Path, programs: Sequence[str]) -> None:
    """Write the pages of programs, `module:name`, into a folder; pages of before are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in folder.glob("*.md"):
        if MADE in page.read_text():
            page.unlink()
    for program in programs:
        for name, text in reference_pages(find(program)).items():
            (folder / name).write_text(text)


def _table_of_verbs(program: Program, links: dict[str, str]) -> Iterator[str]:
    yield from ("| verb | |", "|---|---|")
    for name, verb in program.verbs.items():
        default = " Done where no verb is named." * (name == program.default)
        yield f"| [{name}]({links[name]}) | {verb.summary}{default} |"


def _verb(program: Program, name: str) -> Iterator[str]:
    verb = program.verbs[name]
    yield from (verb.summary, "")
    yield from (f"`{usage_line(program, name)}`, such as", "")
    yield from (f"    {example_line(program, name)}", "")
    for title, sentence, keys in groups_of(find(verb.settings)):
        yield from (f"**{title}**{' ' * bool(sentence)}{sentence}", "")
        yield from ("| setting | default | type | |", "|---|---|---|---|")
        yield from map(_row, keys)
        yield ""


def _row(key: Key) -> str:
    default = "" if key.default is None else f"`{key.default}`"
    cells = (f"`{key.name}`", default, key.kind, key.sentence)
    return " | ".join(["", *(cell.replace("|", r"\|") for cell in cells), ""]).strip()


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        exit_with("usage: python -m lamae.reference FOLDER MODULE:PROGRAM ...")
    write_reference(Path(sys.argv[1]), sys.argv[2:])

"""The pages of docs/reference/ are what the settings say."""

from pathlib import Path

import pytest

from lamae.commands import Program, Verb, find
from lamae.reference import MADE, reference_pages, write_reference

PAGES = Path(__file__).resolve().parents[1] / "docs" / "reference"
PROGRAMS = ("shards", "pretrain", "finetune")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_pages_are_those_of_make_reference(program: str) -> None:
    made = reference_pages(find(f"{program}.main:PROGRAM"))
    kept = {path.name: path.read_text() for path in PAGES.glob(f"{program}*.md")}
    assert kept == made, "run `make reference`"


def test_no_page_is_long_or_of_another_program() -> None:
    pages = [path for path in PAGES.glob("*.md") if MADE in path.read_text()]
    assert pages and all(path.name.startswith(PROGRAMS) for path in pages)
    long = {path.name for path in pages if len(path.read_text().splitlines()) > 200}
    assert not long


def test_a_page_of_a_verb_that_is_gone_is_removed_and_those_of_hands_are_kept(
    tmp_path: Path,
) -> None:
    (tmp_path / "shards_gone.md").write_text(MADE)
    (tmp_path / "data-format.md").write_text("by hand")
    write_reference(tmp_path, ["shards.main:PROGRAM"])
    assert not (tmp_path / "shards_gone.md").exists()
    assert (tmp_path / "data-format.md").read_text() == "by hand"


def test_a_bar_in_a_type_divides_no_table() -> None:
    verb = Verb("shards.settings:BuildSettings", "shards.commands:build", "Build.", "source=x")
    pages = reference_pages(Program("python shards/main.py", "Shards.", {"build": verb}))
    rows = [line for line in pages["shards.md"].splitlines() if line.startswith("| `")]
    assert rows and all(row.replace(r"\|", "").count("|") == 5 for row in rows)

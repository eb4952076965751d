from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lamae.storage.corpus import INDEX, merge_indexes, write_index
from shards.describe.about import known_facts
from shards.describe.page import describe_shards
from shards.describe.settings import DescribeSettings


@pytest.fixture
def corpus_about(simulated_shards: Path, tmp_path: Path) -> Path:
    """Write the index of the simulated shards with an age, a sex, a site and a report of each."""
    rows: list[dict[str, Any]] = pq.read_table(simulated_shards / INDEX).to_pylist()
    for number, row in enumerate(rows):
        about = {"age": str(20 + number), "sex": "FM"[number % 2], "report": f"seen {number}"}
        row["about"] = list((about | {"my grade": str(number % 3)}).items())
        if number == 0:
            row["about"] = [("sex", "F")]
    write_index(tmp_path / INDEX, rows)
    return tmp_path


def test_numbers_and_categories_are_told_apart_and_texts_left_out(corpus_about: Path) -> None:
    rows = pq.read_table(corpus_about / INDEX, columns=["split"])["split"].to_pylist()
    age, sex = known_facts(corpus_about)
    assert (age.name, age.records) == ("age", len(rows) - 1)
    assert age.numbers is not None
    assert np.array_equal(age.numbers, np.arange(21, 20 + len(rows)))
    assert (sex.name, sex.records, sex.numbers) == ("sex", len(rows), None)
    assert sum(sex.categories["F"].values()) == (len(rows) + 1) // 2
    assert sum(by["train"] for by in sex.categories.values()) == rows.count("train")


def test_a_column_that_the_build_was_told_is_drawn_whatever_its_name(corpus_about: Path) -> None:
    assert [facts.name for facts in known_facts(corpus_about, ["my grade"])] == [
        "age", "my grade", "sex",
    ]  # fmt: skip


def test_facts_of_more_rows_than_are_read_at_once_belong_to_their_recordings(
    simulated_shards: Path, tmp_path: Path
) -> None:
    rows: list[dict[str, Any]] = pq.read_table(simulated_shards / INDEX).to_pylist()
    many, parts = list[dict[str, Any]](), list[Path]()
    for number in range(5):
        part = [
            row | {"about": [("sex", f"of {row['split']}"), ("report", f"seen {copy}")][: copy % 3]}
            for copy, row in enumerate(rows * 31, len(many))
        ]
        parts.append(tmp_path / f"part-{number}")
        write_index(parts[-1], part)
        many += part
    merge_indexes(tmp_path / INDEX, parts)
    (sex,) = known_facts(tmp_path)
    expected = Counter(row["split"] for row in many if row["about"])
    assert {cell: Counter(by) - Counter() for cell, by in sex.categories.items()} == {
        f"of {split}": {split: count} for split, count in expected.items()
    }


def test_a_corpus_of_which_nothing_is_known_has_no_such_section(
    simulated_shards: Path, tmp_path: Path
) -> None:
    found = describe_shards(DescribeSettings(data=simulated_shards, output=tmp_path, examples=0))
    page = (tmp_path / "description.html").read_text()
    assert ("About the recordings" in page) == bool(found["about"])

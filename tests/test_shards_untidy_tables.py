"""Random tables: nobody on both sides, and every row and file counted once."""

import csv
import io
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from shards.build.split import assign_splits
from shards.sources.kinds import list_source
from tests.test_shards_untidy_cohorts import settings_of, write_header

SPELLINGS_OF_IDS: tuple[Callable[[object], str], ...] = (
    str,
    "{} ".format,
    " {}".format,
    "{}.0".format,
    "{}\u00a0".format,
)
SPELLINGS_OF_PATHS = (
    str, "{}.hea".format, "{}.HEA".format, "./{}".format, " {} ".format, "rec/{}".format,
    "{}.dat".format, lambda path: path.replace("/", "\\"), lambda path: f"/old/root/{path}.hea",
)  # fmt: skip
NOTHING = ("", "NaN", "None", "nan", "NA")
LABELS = ("AF", "AF;MI", "MI ; AF", "normal", *NOTHING)


class Cohort(NamedTuple):
    """A folder and a table as people leave them, and the truth about both."""

    recordings: list[str]
    rows: list[dict[str, str]]
    truth: dict[str, tuple[str | None, str]]
    """By recording that has a row: its patient, where one is named, and the cell of its label."""
    strangers: int
    """Rows of no recording."""
    nameless: int
    """Rows that name none."""


@st.composite
def cohorts(draw: st.DrawFn) -> Cohort:
    """Return recordings, rows of a table in any order and spelling, and what is true."""
    numbers = draw(st.lists(st.integers(1, 10**4), min_size=2, max_size=12, unique=True))
    recordings = [f"{draw(st.sampled_from('abc'))}/r{number}" for number in numbers]
    named = draw(st.lists(st.sampled_from(recordings), min_size=1, unique=True))
    strangers = draw(st.lists(st.integers(1, 99), max_size=3, unique=True))
    nameless = draw(st.lists(st.sampled_from(NOTHING), max_size=2))
    rows, truth = [], {}
    for path in draw(st.permutations([*named, *(f"z/s{n}" for n in strangers), *nameless])):
        patient, label = draw(st.none() | st.integers(1, 4)), draw(st.sampled_from(LABELS))
        spelled = draw(st.sampled_from(SPELLINGS_OF_IDS))(patient) if patient else None
        spelling = draw(st.sampled_from(SPELLINGS_OF_PATHS)) if "/" in path else str
        who = spelled or draw(st.sampled_from(NOTHING))
        if "/" not in path:
            label = "AF"  # a row of nothing at all is none
        rows.append({"file": spelling(path), "Patient ID": who, "diagnosis": label})
        if path in recordings:
            truth[path] = None if patient is None else str(patient), label
    return Cohort(recordings, rows, truth, len(strangers), len(nameless))


MEANINGS = {"AF": ("AF",), "AF;MI": ("AF", "MI"), "MI ; AF": ("MI", "AF"), "normal": ()}


@settings(max_examples=60)
@given(
    cohorts(), st.sampled_from(",;\t"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.integers(0, 9),
)  # fmt: skip
def test_no_patient_is_in_two_splits_and_every_row_and_file_is_counted_once(
    cohort: Cohort, separator: str, encoding: str, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rec"
        for path in cohort.recordings:
            write_header(source / f"{path}.hea")
            (source / f"{path}.dat").touch()
        (source / "letter.pdf").write_text("%PDF")
        text = io.StringIO()
        writer = csv.DictWriter(text, cohort.rows[0], delimiter=separator)
        writer.writeheader()
        writer.writerows(cohort.rows)
        table = Path(folder) / "t.csv"
        table.write_bytes(text.getvalue().encode(encoding))
        split = {"train": 0.5, "val": 0.25, "test": 0.25, "seed": seed}
        given = settings_of(source, table=table, negative=["normal"], min_matched=0.0, split=split)
        found = list_source(given)
        splits = assign_splits(found, given.split)
    assert sorted(entry.path for entry in found.entries) == sorted(cohort.recordings)
    reasons = Counter(reject.reason for reject in found.rejects)
    strange = reasons["label_row_without_record"] + reasons["path_outside_source"]
    assert (strange, reasons["row_without_name"]) == (cohort.strangers, cohort.nameless)
    assert reasons["not_read"] == 1 and reasons.total() == 1 + strange + cohort.nameless
    assert len(cohort.truth) + cohort.strangers + cohort.nameless == len(cohort.rows)
    assert found.without_label_row == len(cohort.recordings) - len(cohort.truth)
    unnamed = [path for path in cohort.recordings if not cohort.truth.get(path, (None,))[0]]
    assert found.without_patient == len(unnamed)
    sides = defaultdict(set)
    for entry, side in zip(found.entries, splits, strict=True):
        patient, label = cohort.truth.get(entry.path, (None, ""))
        assert entry.patient_id == (patient or entry.path)
        assert entry.labels == {"diagnosis": MEANINGS.get(label)}
        sides[entry.patient_id].add(side)
    assert all(len(splits) == 1 for splits in sides.values())

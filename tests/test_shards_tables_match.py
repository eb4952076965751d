from pathlib import Path

import pytest

from lamae.errors import InputError
from shards.tables.match import match_rows, refuse_strangers

ENDINGS = (".hea", ".dat", ".csv", ".npy")


def matched(names: list[str], recordings: list[str], *, table: str = "t.csv") -> dict[str, str]:
    """Match names of a table at /cohort/`table` with recordings below /cohort/rec."""
    forms = {path: (path.removesuffix(".csv").removesuffix(".npy"),) for path in recordings}
    source = Path("/cohort/rec")
    where = {"source": source, "table": Path("/cohort") / table, "endings": ENDINGS}
    return match_rows(names, forms, **where).paths  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "a/00001", "a/00001.hea", "a/00001.HEA", "a/00001.Dat", "./a/00001", "a//00001",
        "a\\00001.hea", " a/00001 ", "/cohort/rec/a/00001.hea", "rec/a/00001", "rec\\a\\00001.dat",
        ".\\rec\\a\\00001.hea", "a/../a/00001", "00001", "00001.hea", "data/rec/a/00001.hea",
        "C:\\study\\rec\\a\\00001.hea", "/other/x/a/00001.hea", '"a/00001"', "../rec/a/00001",
    ],
)  # fmt: skip
def test_a_recording_is_found_by_every_way_of_writing_its_path(name: str) -> None:
    assert matched([name], ["a/00001", "a/00002", "b/00003"]) == {name: "a/00001"}


@pytest.mark.parametrize(
    "name", ["1", "c/00001", "../a/9", "00001x", "", ".", "..", "/", "a", "b/a/00009"]
)
def test_a_name_that_fits_no_recording_is_left(name: str) -> None:
    assert matched([name], ["a/00001", "a/00002", "b/00003"]) == {}


def test_names_from_the_folder_of_the_table_are_found() -> None:
    assert matched(["../rec/x", "rec/y"], ["x"], table="tables/t.csv") == {"../rec/x": "x"}


def test_numbers_as_floats_name_files_of_whole_numbers() -> None:
    assert matched(["8.0", "9.0"], ["r/8", "r/9"]) == {"8.0": "r/8", "9.0": "r/9"}


def test_a_bare_name_of_two_recordings_fits_neither() -> None:
    recordings = ["a/1", "b/1", "b/2"]
    assert matched(["1", "2"], recordings) == {"2": "b/2"}
    assert matched(["b/1", "a/1"], recordings) == {"b/1": "b/1", "a/1": "a/1"}


def test_two_rows_that_end_alike_do_not_share_a_recording() -> None:
    assert matched(["train/1", "test/1", "test/2"], ["1", "2"]) == {"test/2": "2"}
    assert matched(["1", "old/1"], ["1"]) == {"1": "1"}


def test_the_ending_tells_files_of_one_name_apart() -> None:
    recordings = ["x.csv", "x.npy"]
    forms = {path: (path,) for path in recordings}
    places = {"source": Path("/s"), "table": Path("/t.csv"), "endings": ENDINGS}
    found = match_rows(["data/x.NPY", "x"], forms, **places)  # type: ignore[arg-type]
    assert found.paths == {"data/x.NPY": "x.npy"} and set(found.ambiguous["x"]) == set(recordings)


def test_strangers_are_refused_with_a_row_beside_a_recording() -> None:
    recordings = {f"{n:05}": f"{n:05}" for n in range(6)}
    with pytest.raises(InputError, match=r"0 of 6 rows .* row '0' beside .* '00000'.*zeros at the"):
        refuse_strangers(Path("t"), [str(n) for n in range(6)], recordings, min_matched=0.5)
    few = ["00000", "00001"]
    with pytest.raises(InputError, match=r"2 of 2 rows and of 6 .*'00002' has no row.*min_matched"):
        refuse_strangers(Path("t"), few, recordings, min_matched=0.5)
    refuse_strangers(Path("t"), few, recordings, min_matched=0.3)
    refuse_strangers(Path("t"), [*recordings, "x"], recordings, min_matched=0.5)

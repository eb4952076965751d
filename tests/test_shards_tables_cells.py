import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.tables.cells import identifier, number, truth, whole_number


@pytest.mark.parametrize(
    ("cells", "one"),
    [
        (["P1", "P1 ", "\tP1", "P1\u00a0", " P1\r"], "P1"),
        (["1", "1.0", "1.", " 1.000 ", "1,0"], "1"),
        (["0001", "0001.0"], "0001"),
        (["J\u00f6rg", "Jo\u0308rg"], "J\u00f6rg"),
        (["a b", "a  b", "a\u00a0b"], "a b"),
    ],
)
def test_spellings_of_one_id_are_one(cells: list[str], one: str) -> None:
    assert {identifier(cell) for cell in cells} == {one}


@pytest.mark.parametrize(
    "cell", ["", "  ", "nan", "NaN", "NA", "N/A", "#N/A", "None", "null", "<NA>", "NaT", "-", "?"]
)
def test_marks_of_nothing_are_no_id(cell: str) -> None:
    assert identifier(cell) is None


@pytest.mark.parametrize("cell", ["a\0b", "a\x1b[31m", "1,23457E+12", "1.5e6", "\ud800"])
def test_control_characters_and_shortened_numbers_are_no_id_and_an_error(cell: str) -> None:
    with pytest.raises(ValueError, match=r"control character|has shortened"):
        identifier(cell)


@given(st.integers(0, 10**15))
def test_a_whole_number_is_the_same_id_as_a_float(value: int) -> None:
    assert identifier(str(value)) == identifier(f"{float(value):.1f}") == str(value)


def test_numbers_have_points_or_commas_and_infinity_is_none() -> None:
    assert [number(c) for c in ("8", "8.0", "8,5", " -0,5 ", "1e3")] == [8, 8, 8.5, -0.5, 1000]
    assert [number(c) for c in ("", "x", "inf", "nan", "1,000,000", "1.000,5")] == [None] * 6
    assert [whole_number(c) for c in ("8", "8.0", "8,0", "8.5", "")] == [8, 8, 8, None, None]


def test_truths_are_written_in_many_ways() -> None:
    assert {truth(c) for c in ("1", "1.0", "True", "TRUE", "yes", " Y ")} == {True}
    assert {truth(c) for c in ("0", "0.0", "False", "no", "N")} == {False}
    assert {truth(c) for c in ("", "2", "-1", "NA", "AF")} == {None}

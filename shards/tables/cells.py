"""One cell of a table: an identifier, a number, a truth value, or nothing."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable

from shards.repeated import repeated

MISSING_MARKS = frozenset(
    {"", "nan", "na", "n/a", "#n/a", "none", "null", "<na>", "nat", "-", "--", "?"}
)
"""Cells that hold nothing, in lower case."""

_TRUE, _FALSE = {"1", "1.0", "true", "yes", "y"}, {"0", "0.0", "false", "no", "n"}
_UNCERTAIN = {"-1", "-1.0"}
_WHOLE = re.compile(r"([+-]?\d+)[.,]0*")
_SHORTENED = re.compile(r"\d[.,]\d+[eE]\+?\d+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


def is_missing(cell: str) -> bool:
    """Return True where a cell is empty or a mark such as NaN, NA and None."""
    return cell.strip().casefold() in MISSING_MARKS


def identifier(cell: str) -> str | None:
    """Return the id of a patient or a recording as every source has it; None of a missing one.

    Blanks around it go, a whole number as a float is that number, leading zeros stay. Raises
    ValueError for what cannot be an id.
    """
    if cell.isascii() and cell.isalnum():  # as nearly all are
        return None if is_missing(cell) else cell
    text = " ".join(unicodedata.normalize("NFC", cell).split())
    if is_missing(text):
        return None
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError(f"{text!r} holds a control character")
    if _SHORTENED.fullmatch(text):
        raise ValueError(f"{text!r} is a number that a spreadsheet has shortened")
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def like_ids(ids: Callable[[], Iterable[str]]) -> tuple[str, str] | None:
    """Return two ids that only case or zeros at the start tell apart, if there are any.

    `ids` yields different ids, and is called again where some are alike.
    """
    twice = repeated(lambda: map(_plain, ids()))
    first: dict[str, str] = {}
    for name in ids() if twice else ():
        plain = _plain(name)
        if plain in twice and (other := first.setdefault(plain, name)) != name:
            return other, name
    return None


def _plain(name: str) -> str:
    return name.casefold().lstrip("0")


def number(cell: str) -> float | None:
    """Return a finite number, with a point or a comma before its decimals; None for others."""
    text = cell.strip()
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def whole_number(cell: str) -> int | None:
    """Return a whole number, as 8 or as 8.0; None for others."""
    value = number(cell)
    return int(value) if value is not None and value.is_integer() else None


def truth(cell: str) -> bool | None:
    """Return the meaning of a cell such as 0 and 1, False and True, no and yes; None for others."""
    value = cell.strip().casefold()
    return True if value in _TRUE else False if value in _FALSE else None


def is_uncertain(cell: str) -> bool:
    """Return True where a cell of 0 and 1 is -1, the usual mark of an uncertain finding."""
    return cell.strip() in _UNCERTAIN

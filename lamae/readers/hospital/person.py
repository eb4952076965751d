"""Age, sex and time as the files of hospitals write them."""

import re
from datetime import date, datetime
from typing import Literal

_SEXES: dict[str, Literal["female", "male"]] = {
    "f": "female", "female": "female", "w": "female", "weiblich": "female",
    "m": "male", "male": "male", "maennlich": "male", "männlich": "male",
}  # fmt: skip
_YEARS = {"y": 1.0, "a": 1.0, "yr": 1.0, "m": 1 / 12, "mo": 1 / 12, "w": 7 / 365.25,
          "wk": 7 / 365.25, "d": 1 / 365.25, "h": 1 / 8766}  # fmt: skip
_OLDEST = 130.0
_DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%m-%d-%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%b-%Y")
_TIME_FORMATS = ("%H:%M:%S", "%H%M%S", "%H:%M", "%H%M", "%I:%M:%S %p")
_MOST_TEXT = 64


def sex_of(text: str | None) -> Literal["female", "male"] | None:
    """Return a sex by its usual words and letters."""
    return _SEXES.get((text or "").strip().lower())


def age_of(value: str | float | int | None, unit: str = "years") -> float | None:
    """Return an age in years, None of what is no age."""
    try:
        number = float(value if value is not None else "")
    except ValueError:
        return None
    key = unit.strip().lower() or "years"
    scale = _YEARS.get(key[:2]) or _YEARS.get(key[0], 0.0)
    years = number * scale
    return years if scale and 0 <= years <= _OLDEST else None


def age_between(born: date | None, recorded: date | None) -> float | None:
    """Return the whole years between two dates."""
    if born is None or recorded is None:
        return None
    before = (recorded.month, recorded.day) < (born.month, born.day)
    return age_of(recorded.year - born.year - before)


def date_of(text: str | None) -> date | None:
    """Return a date in one of the forms in use; a month goes before a day, as GE writes it."""
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime((text or "").strip()[:_MOST_TEXT], form).date()
        except ValueError:
            continue
    return None


def time_of(day: str | None, clock: str | None = "") -> datetime | None:
    """Return a date with a time of day; without the second, the first is `20200131120000.5`."""
    plain = (clock or "").strip()[:_MOST_TEXT].partition(".")[0]
    if not plain and (match := re.match(r"(\d{8})(\d{4,6})?", (day or "").strip())):
        day, plain = match[1], match[2] or "0000"
    found = date_of(day)
    for form in _TIME_FORMATS if found else ():
        try:
            return datetime.combine(found or date.min, datetime.strptime(plain, form).time())
        except ValueError:
            continue
    return datetime.combine(found, datetime.min.time()) if found else None

"""Columns of a user's table: which of them names what, by settings or by usual names."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from shards.tables.read_table import Table, table_error

PATHS = (
    "filename", "record", "study_id", "path", "file", "file_path", "filepath", "ecg_path",
    "ecg_file", "ecg_filename", "ecg", "recording", "recording_id", "record_id", "record_name",
    "file_name", "ecg_id", "exam_id",
)  # fmt: skip
"""Columns that name the recording, the first that a table has."""
PATIENTS = (
    "patient_id", "subject_id", "patient", "subject", "mrn", "pid", "participant_id",
    "participant", "person_id", "person", "medical_record_number", "patient_number", "patient_no",
    "patient_nr", "patient_code", "patient_key", "subject_number", "subject_code", "pat_id",
    "pt_id", "individual_id", "hospital_number", "pseudonym", "patientennummer",
)  # fmt: skip
"""Columns that name the patient, the first that a table has."""
FOLDS = ("strat_fold", "fold")
"""Columns of the cross-validation fold, the first that a table has."""
SPLITS = ("split",)
"""The column that names the split of a recording."""
ABOUT = (
    "age", "sex", "gender", "is_male", "is_female", "male", "female", "height", "weight", "bmi",
    "race", "ethnicity", "site", "hospital", "centre", "center", "clinic", "ward", "department",
    "device", "machine", "manufacturer", "model", "cart", "cart_id", "date", "time", "datetime",
    "timestamp", "year", "ecg_time", "ecg_date", "recording_date", "recording_time", "study_date",
    "study_time", "exam_date", "acquisition_date", "sampling_rate", "sampling_frequency", "fs",
    "duration", "duration_s", "report", "comment", "comments", "note", "notes", "remark", "alter",
    "geschlecht", "datum",
)  # fmt: skip
"""Columns about a recording or its patient, which are never classes."""
PERSONAL = (
    "name", "first_name", "last_name", "surname", "full_name", "patient_name", "family_name",
    "given_name", "vorname", "nachname", "dob", "date_of_birth", "birth_date", "birthday",
    "birthdate", "address", "phone", "telephone", "email", "ssn", "zip", "postcode",
)  # fmt: skip
"""Columns that tell who a patient is, which go nowhere."""

NO_PATIENTS = "none"
"""Value of the setting `patients` that makes each recording its own patient."""

_MAYBE_PATIENT = re.compile(r"(?<!in)(?<!out)patient|subject(?!ive)|person|participant|proband|mrn")
_MAYBE_PERSONAL = re.compile(r"name|birth|geb|dob|patient|subject|person|physician|doctor|nurse")
_IDENTIFIERS = ("id", "case", "case_id", "code", "key", "nr", "no", "number", "index", "uid")


class ColumnSettings(Protocol):
    """Settings that name columns."""

    @property
    def path_column(self) -> str | None:
        """Column that names the recording."""

    @property
    def patients(self) -> str | None:
        """Column that names the patient."""

    @property
    def label_columns(self) -> tuple[str, ...] | None:
        """Columns that are label sets."""

    @property
    def about_columns(self) -> tuple[str, ...] | None:
        """Columns about the recording."""


class Columns(NamedTuple):
    """Columns of a table by what they hold."""

    path: str | None
    """Names the recording."""
    patient: str | None
    """Names the patient."""
    fold: str | None
    """Cross-validation fold."""
    split: str | None
    """Train, val or test."""
    labels: tuple[str, ...]
    """Label sets, or classes of one, as their cells will say."""
    about: tuple[str, ...]
    """Numbers and categories about the recording."""
    identifiers: tuple[str, ...]
    """Columns that may be ids, and are not used."""
    unused: tuple[str, ...]
    """The rest: names of people, and other columns that name the recording or the patient."""


def find_columns(table: Table, settings: ColumnSettings, paths: Sequence[str] = PATHS) -> Columns:
    """Return the columns that the settings name, or else those of usual names.

    Raises InputError where a named column is not there, and where labels are wanted and a column
    that may name the patient is not used.
    """
    labels, about = (
        tuple(_named(table, name, setting) for name in getattr(settings, setting) or ())
        for setting in ("label_columns", "about_columns")
    )
    path = _named_or_usual(table, settings.path_column, "path_column", paths)
    others = [name for name in table.columns if name != path]
    patient = None
    if settings.patients is None:
        patient = _first(others, PATIENTS)
    elif settings.patients != NO_PATIENTS:
        patient = _named(table, settings.patients, "patients")
    if patient in labels:
        value = f"column {patient!r} names the patient, and label_columns names it too"
        raise table_error(table.path, value, remedy="Leave it out of label_columns.")
    fold, split = _first(others, FOLDS), _first(others, SPLITS)
    used = {path, patient, fold, split, *labels, *about, ""}
    rest = [name for name in table.columns if name not in used]
    personal = [name for name in rest if _plain(name) in _plains(PERSONAL)]
    more_about = [name for name in rest if name not in personal and is_about(name)]
    rest = [name for name in rest if name not in (*personal, *more_about)]
    names = [n for n in rest if _plain(n) in _plains((*paths, *PATHS, *PATIENTS))]
    rest = [name for name in rest if name not in names]
    doubtful = [name for name in rest if _MAYBE_PATIENT.search(_plain(name))]
    if patient is None and settings.patients is None and (doubtful or _any_patient(labels)):
        raise unused_patients(table, (doubtful or [n for n in labels if _any_patient([n])])[0])
    identifiers = [name for name in rest if _plain(name) in _plains(_IDENTIFIERS)]
    rest = [name for name in rest if name not in (*doubtful, *identifiers)]
    return Columns(
        path,
        patient,
        fold,
        split,
        labels=labels if settings.label_columns is not None else tuple(rest),
        about=about if settings.about_columns is not None else (*about, *more_about),
        identifiers=tuple(identifiers),
        unused=(*personal, *names, *doubtful),
    )


def unused_patients(table: Table, column: str) -> Exception:
    """Return the error for labels beside a column that may name the patient and is not used."""
    return table_error(
        table.path,
        f"no column that surely names the patient, but one named {column!r}",
        remedy=f"Give patients={column!r} if it names the patient, or patients={NO_PATIENTS} "
        "if each recording is its own.",
    )


def nearest_column(table: Table, name: str) -> str:
    """Return a hint at the column that was meant."""
    near = difflib.get_close_matches(name, table.columns, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(table.columns)}."


def _named(table: Table, name: str, setting: str) -> str:
    """Return a column by its name, for which case, blanks and underscores do not matter."""
    if name in table.columns:
        return name
    found = [column for column in table.columns if _plain(column) == _plain(name)]
    if len(found) != 1:
        value = f"no column {name!r}, which {setting} names ({table.describe()})"
        raise table_error(table.path, value, remedy=nearest_column(table, name))
    return found[0]


def _named_or_usual(
    table: Table, name: str | None, setting: str, usual: Sequence[str]
) -> str | None:
    return _first(table.columns, usual) if name is None else _named(table, name, setting)


def _first(columns: Sequence[str], usual: Iterable[str]) -> str | None:
    by_plain: dict[str, str] = {}
    for column in columns:
        by_plain.setdefault(_plain(column), column)
    return next((by_plain[_plain(n)] for n in usual if _plain(n) in by_plain), None)


def is_about(name: str) -> bool:
    """Return True where a column of this name is about a recording or its patient, by `ABOUT`."""
    plain = re.sub(r"^(patient|subject|ecg|pat)", "", _plain(name)) or _plain(name)
    plain = re.sub(r"(years|yrs|cm|kg)$", "", plain)
    return {plain, _plain(name)} & _plains(ABOUT) != set()


def may_be_personal(name: str) -> bool:
    """Return True where a column or a fact of this name may tell who a patient is."""
    plain = _plain(name)
    return plain in _plains((*PERSONAL, *PATIENTS)) or bool(_MAYBE_PERSONAL.search(plain))


def _any_patient(names: Iterable[str]) -> bool:
    return any(_plain(n) in _plains(PATIENTS) or _MAYBE_PATIENT.search(_plain(n)) for n in names)


def _plains(names: Iterable[str]) -> set[str]:
    return {_plain(name) for name in names}


def _plain(name: str) -> str:
    """Return a name without case, blanks and punctuation, which people write as they like."""
    return re.sub(r"[\W_]+", "", name).casefold()

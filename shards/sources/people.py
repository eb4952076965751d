"""People as the files of hospitals state them, where no table names a patient."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from lamae.ecg.record import About
from lamae.errors import InputError
from lamae.readers.any_file import read_file
from shards.entries import Reject
from shards.settings import LocalSource
from shards.tables.cells import identifier, like_ids

_NO_ID = (
    "unreadable_patient",
    "the id of its patient holds what no id can hold: export it again, or name its patient in a "
    "table",
)


class People(NamedTuple):
    """People of some files."""

    of: dict[str, About]
    """By path; the id as all sources have it."""
    rejects: list[Reject]
    """Files whose patient cannot be told from what they state."""


def stated_people(settings: LocalSource, paths: Iterable[str]) -> People:
    """Read whose recordings some are; a file that cannot be read is refused when it is built.

    Raises InputError for two ids that only case or zeros at the start tell apart.
    """
    found = People({}, [])
    for path in paths:
        try:
            about = read_file(settings.source / path, settings.read_options).record.about
        except InputError:
            continue
        try:
            found.of[path] = replace(about, patient_id=identifier(about.patient_id or ""))
        except ValueError:
            found.rejects.append(Reject(path, *_NO_ID))
    ids = {about.patient_id: None for about in found.of.values() if about.patient_id}
    alike = like_ids(lambda: ids)
    if alike is not None:
        raise InputError(
            f"source {settings.source}",
            value=f"files of the patients {alike[0]!r} and {alike[1]!r}, who may be one person",
            expected="each patient under one id",
            remedy="Name the patients in a table, by table= and patients=, or take each recording "
            "as its own by patients=none.",
        )
    return found


def about_of(person: About | None) -> dict[str, str]:
    """Return age and sex, and nothing that tells who the person is."""
    if person is None:
        return {}
    age = {} if person.age is None else {"age": f"{person.age:g}"}
    return age | ({} if person.sex is None else {"sex": person.sex})

"""People as the files of hospitals state them, where no table names a patient."""

from collections.abc import Iterable

from lamae.ecg.record import About
from lamae.errors import InputError
from lamae.readers.any_file import read_file
from shards.settings import LocalSource


def stated_people(settings: LocalSource, paths: Iterable[str]) -> dict[str, About]:
    """Read whose recordings some are; a file that cannot be read is refused when it is built."""
    found = {}
    for path in paths:
        try:
            found[path] = read_file(settings.source / path, settings.read_options).record.about
        except InputError:
            continue
    return found


def about_of(person: About | None) -> dict[str, str]:
    """Return age and sex, and nothing that tells who the person is."""
    if person is None:
        return {}
    age = {} if person.age is None else {"age": f"{person.age:g}"}
    return age | ({} if person.sex is None else {"sex": person.sex})

"""Recordings that are samples with fields, joined with these or with a user's table."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from lamae.errors import InputError
from shards.entries import Entry, Listing
from shards.foreign.table import ABOUT, KEY, LABELS, NONE_FOUND, FieldTable
from shards.settings import LocalSource
from shards.sources.join import join
from shards.tables.cells import identifier
from shards.tables.columns import NO_PATIENTS, is_about
from shards.tables.label_table import NO_TABLE, LabelTable, read_label_table
from shards.tables.match import by_place, refuse_strangers


class Packed(NamedTuple):
    """One recording in a container."""

    place: str
    """The container and the number in it, unique in the source."""
    name: str
    """Name that its container gives to it, which may return in another container."""
    fields: Mapping[str, Any]
    """Everything that is said beside its signal, by name."""


def list_packed(
    settings: LocalSource, samples: Iterable[Packed], complete: Callable[[Entry], Entry]
) -> Listing:
    """List recordings by place, with patients and labels of a table, or else of their fields.

    A recording has the name that `path_column` or its container gives; one that two have is told
    by the place. Raises InputError for fields or a table that cannot be used.
    """
    names: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        written = FieldTable(Path(folder) / "fields.csv", settings.label_columns or ())
        with written:
            for place, name, fields in samples:
                if settings.path_column is not None and settings.table is None:
                    name = str(fields.get(settings.path_column) or "")
                names[place] = name
                written.add(place, fields)
        keys = _keys(names)
        if settings.table is not None:
            table = _users_table(settings, settings.table, keys)
        else:
            table = _own_table(settings, written) if written.columns.keys() - {KEY} else NO_TABLE
    patients = {place: row.patient_id for place, row in table.rows.items()}
    if settings.patients == NO_PATIENTS:
        patients = {}
    return join(keys, patients, table, complete)


def _keys(names: Mapping[str, str]) -> dict[str, str]:
    """Return the names by place; those that several places have follow the container's."""
    times: dict[str, int] = {}
    for name in names.values():
        times[name] = times.get(name, 0) + 1
    return {
        place: name if not name or times[name] == 1 else f"{place.rpartition('#')[0]}/{name}"
        for place, name in names.items()
    }


def _own_table(settings: LocalSource, written: FieldTable) -> LabelTable:
    """Read the fields of the samples as a table of labels is read."""
    own = settings.model_copy(update=_stated(settings, written))
    try:
        table = read_label_table(written.path, own)
    except InputError as error:  # the table is nowhere that a user could look at
        words = str(error).replace(f"table {written.path}", f"fields of {settings.source}")
        error.args = (words,)
        raise
    found = [f"fields of {written.rows} samples: {', '.join(list(written.columns)[1:])}"]
    if written.unused:
        found.append(f"fields that are no cells, not read: {', '.join(written.unused)}")
    return table._replace(found=(*found, *table.found[2:]))


def _stated(settings: LocalSource, written: FieldTable) -> dict[str, Any]:
    """Return settings of columns: those of the user go before what the fields say that they are."""
    found: dict[str, Any] = {"path_column": KEY, "table": written.path}
    found["negative"] = (*settings.negative, NONE_FOUND)
    labels, about = tuple(written.of_kind[LABELS]), tuple(written.of_kind[ABOUT])
    if labels and settings.label_columns is None:
        found["label_columns"] = labels
    if about and settings.about_columns is None:
        usual = (name for name in written.columns if name not in about and is_about(name))
        found["about_columns"] = (*about, *usual)
    return found


def _users_table(settings: LocalSource, path: Path, keys: Mapping[str, str]) -> LabelTable:
    """Read a user's table, which names recordings by their names or places."""
    table = read_label_table(path, settings)
    places = {place: place for place in keys}
    places |= {identifier(name) or name: place for place, name in keys.items()}
    rows = by_place(path, table.rows, places)
    refuse_strangers(path, rows, keys, min_matched=settings.min_matched)
    return table._replace(rows=rows)

"""Brugada-HUCA: metadata.csv has a row for each patient, whose one recording is in files/."""

from shards.entries import Listing
from shards.settings import LocalSource
from shards.sources.join import headers_below, join
from shards.tables.cells import identifier, is_missing
from shards.tables.label_row import LabelRow
from shards.tables.label_table import LabelTable
from shards.tables.read_table import read_csv, table_error

METADATA = "metadata.csv"

LABEL_SETS = ("brugada", "sudden_death", "basal_pattern")
"""Columns of the table, whose cells are the classes; `brugada` 2 is explained nowhere."""


def list_brugada(settings: LocalSource) -> Listing | None:
    """List the recordings of the patients that the table names, and others beside them."""
    table = settings.table or settings.source / METADATA
    if not table.is_file():
        return None
    rows: dict[str, LabelRow] = {}
    for row in read_csv(table, ("patient_id", *LABEL_SETS)):
        patient = identifier(row["patient_id"])
        path = f"files/{patient}/{patient}"
        if path in rows:
            raise table_error(table, f"patient {patient} in two rows")
        labels = {name: None if is_missing(row[name]) else (row[name],) for name in LABEL_SETS}
        rows[path] = LabelRow(patient, None, labels)
    keys = {path: path.rpartition("/")[2] for path in headers_below(settings.source, "files")}
    return join(keys, keys, LabelTable(rows, LABEL_SETS))

"""A user's own folder of recordings, with a table of their patients, labels and splits."""

from shards.entries import Listing
from shards.settings import ShardsSettings
from shards.sources.join import headers_below, join
from shards.sources.tables import NO_TABLE, read_label_table


def list_folder(settings: ShardsSettings) -> Listing:
    """List recordings below a folder: the table names their patients, or each record is one."""
    table = NO_TABLE
    if settings.table is not None:
        table = read_label_table(settings.table, settings.label_columns)
    keys = {path: path for path in headers_below(settings.source)}
    patients = {record: row.patient_id or record for record, row in table.rows.items()}
    return join(keys, patients, table)

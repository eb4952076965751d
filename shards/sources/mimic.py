"""MIMIC-IV-ECG: record_list.csv names recordings and patients."""

from shards.entries import Listing
from shards.settings import ShardsSettings
from shards.sources.join import join
from shards.sources.tables import LabelTable, label_table_of, read_csv

RECORD_LIST = "record_list.csv"


def list_mimic(settings: ShardsSettings) -> Listing | None:
    """List the recordings of the record list; labels by study or path are beside it."""
    path = settings.source / RECORD_LIST
    if not path.is_file():
        return None
    keys, patients = {}, {}
    for row in read_csv(path, ("subject_id", "study_id", "path")):
        keys[row["path"]] = row["study_id"]
        patients[row["path"]] = row["subject_id"]
    table = label_table_of(settings)
    paths = {study: path for path, study in keys.items()}
    by_path = {paths.get(study, study): row for study, row in table.rows.items()}
    return join(keys, patients, LabelTable(by_path, table.label_sets))

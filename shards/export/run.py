"""One corpus in one format of others, whole or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lamae.faults import fault
from lamae.files import open_whole, refuse_existing, whole_folder, write_json
from lamae.release.hub import CARD
from lamae.storage.corpus import Corpus
from shards.export.card import render_card
from shards.export.croissant import (
    CROISSANT,
    describe_files,
    file_object,
    file_set,
    parquet_fields,
)
from shards.export.parquet import (
    FOLDER,
    features_in_yaml,
    features_of,
    split_files,
    write_parquet,
)
from shards.export.settings import FormatSettings
from shards.export.tars import write_tars
from shards.hdf5.export import export_shards


class _Content(NamedTuple):
    """Files of recordings that were written, and what tells of them."""

    written: Mapping[str, Sequence[str]]
    """Names of the files of each split."""
    files: list[dict[str, Any]]
    """Files for Croissant."""
    fields: Sequence[dict[str, Any]] = ()
    """Columns for Croissant."""
    yaml: Mapping[str, Any] = {}
    """Keys of the card."""


def export(settings: FormatSettings) -> dict[str, Any]:
    """Write a corpus in the format that the settings name; returns what is in it.

    Raises InputError for shards that cannot be read, and for an output that exists or cannot be
    written.
    """
    if settings.format == "hdf5":
        return export_shards(settings)
    output = settings.output
    refuse_existing(output, kind="folder")
    corpus = Corpus(settings.data)
    try:
        with whole_folder(output) as folder:
            write = _parquet if settings.format == "parquet" else _tars
            content = write(corpus, folder)
            _describe(corpus, settings, content, folder)
    except OSError as error:
        raise fault(error, f"output {output}", afterwards="start again") from error
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    number = sum(map(len, content.written.values()))
    return {"records": len(corpus), "files": number, "bytes": size, "folder": str(output)}


def _parquet(corpus: Corpus, folder: Path) -> _Content:
    features = features_of(corpus)
    written = write_parquet(corpus, folder)
    return _Content(
        written,
        [file_set("parquet", f"{FOLDER}/*.parquet")],
        parquet_fields(features, "parquet"),
        {
            "configs": [{"config_name": "default", "data_files": [*split_files(written)]}],
            "dataset_info": {"features": features_in_yaml(features)},
        },
    )


def _tars(corpus: Corpus, folder: Path) -> _Content:
    written = write_tars(corpus, folder)
    return _Content(
        written, [file_object(folder / tar, folder) for tars in written.values() for tar in tars]
    )


def _describe(corpus: Corpus, settings: FormatSettings, content: _Content, folder: Path) -> None:
    """Write the card, and the description in Croissant."""
    name = settings.output.name
    card = render_card(
        corpus,
        name=name,
        form=settings.format,
        data_set=settings.data_set,
        yaml_of_files=content.yaml,
    )
    with open_whole(folder / CARD) as file:
        file.write(card.encode())
    croissant = describe_files(name, settings.data_set, files=content.files, fields=content.fields)
    write_json(folder / CROISSANT, croissant)

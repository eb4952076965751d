"""The verb upload: a folder of `export`, or of shards, on the Hugging Face Hub."""

from lamae.errors import InputError
from lamae.files import json_bytes
from lamae.release.hub import CARD, DATASETS, HubName, upload_files
from lamae.storage.corpus import Corpus
from lamae.storage.manifest import is_corpus
from shards.export.card import refuse_unshared, render_card
from shards.export.croissant import CROISSANT, describe_files, file_object
from shards.export.settings import UploadSettings

_ALLOWED = ("*.parquet", "*.tar", "*.json", "*.sha256", "*.csv", CARD)


def upload(settings: UploadSettings) -> list[str]:
    """Upload a folder in one commit, and return where it is.

    Raises InputError where the recordings may not be shared, the folder is neither an export nor
    shards, or the Hub refuses.
    """
    folder, name = settings.data, HubName.parse(settings.to, kind=DATASETS)
    added: dict[str, bytes] = {}
    if (folder / CARD).is_file():
        card = (folder / CARD).read_text()
    elif is_corpus(folder):
        corpus = Corpus(folder)
        card = render_card(
            corpus, name=folder.name, form="shards", data_set=settings.data_set, yaml_of_files={}
        )
        files = [file_object(folder / shard["file"], folder) for shard in corpus.manifest["shards"]]
        described = describe_files(folder.name, settings.data_set, files=files)
        added = {CARD: card.encode(), CROISSANT: json_bytes(described)}
    else:
        raise InputError(
            f"folder {folder}",
            value=f"no {CARD}, and no shards",
            expected="a folder of export format=parquet or webdataset, or of shards",
            remedy="Export the shards first.",
        )
    refuse_unshared(card, folder)
    if not settings.may_share:
        raise InputError(
            "may_share",
            value="false",
            expected="true: your word that the licence lets you share these recordings",
            remedy="Read the licence; those of credentialed access may not be uploaded.",
        )
    commit = upload_files(
        folder,
        name,
        allowed=_ALLOWED,
        added=added,
        private=settings.private,
        message="Upload recordings",
    )
    return [f"{folder.name}: {name} at commit {commit}"]

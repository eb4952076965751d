"""The recordings below a folder, and those of shards."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lamae.errors import InputError
from lamae.pretrained.cautions import of_flags
from lamae.pretrained.recordings import How, Recording, read_path
from lamae.readers.wfdb.header_files import header_files
from lamae.storage.manifest import is_corpus

if TYPE_CHECKING:  # imported where a folder is given: half a second that a file need not wait for
    from lamae.storage.corpus import Corpus


def recordings_in(folder: Path, how: How) -> Iterator[Recording]:
    """Return the recordings of shards in the order of their index, or of files by their paths.

    Raises InputError for a folder without files.
    """
    if is_corpus(folder):
        from lamae.storage.corpus import Corpus

        return _of_shards(Corpus(folder), how)
    if how.splits is not None:
        raise InputError(
            "splits",
            value=f"{', '.join(how.splits)} of {folder}, which is no folder of shards",
            expected="shards, which alone have splits",
            remedy="Leave splits out.",
        )
    files = recording_files(folder)
    if not files:
        raise InputError(
            f"folder {folder}",
            value="no files",
            expected="recordings, or shards",
            remedy="Check the path.",
        )
    return (read_path(folder / name, how, name=name) for name in files)


def recording_files(folder: Path) -> list[str]:
    """Return the files below a folder, sorted, but for those that belong to a WFDB header.

    Hidden files and folders are passed over. A file that is no recording is listed: reading it
    says so.
    """
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    files = [str(path) for path in paths if not any(part.startswith(".") for part in path.parts)]
    parts = header_files(folder, files, opened=files)
    return [name for name in files if name not in parts.signals | parts.segments]


def _of_shards(corpus: "Corpus", how: How) -> Iterator[Recording]:
    """Read recordings as they are asked for; raises InputError for a split that there is not."""
    rows = corpus.rows_of(how.splits).tolist()
    return (recording_of_row(corpus, row) for row in rows)


def recording_of_row(corpus: "Corpus", row: int) -> Recording:
    """Read a recording of shards; one that is damaged has its reason."""
    try:
        sample = corpus.sample(row)
    except InputError as error:
        return Recording(str(corpus.keys[row]), str(corpus.patients[row]), None, error=error)
    return Recording(sample.key, sample.patient_id, sample.record, tuple(of_flags(sample.flags)))

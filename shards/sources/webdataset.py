"""Tars in WebDataset's convention: a sample has a recording's files, and JSON that tells of it."""

import fnmatch
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from braceexpand import braceexpand

from lamae.errors import InputError, RecordError
from lamae.remote.locations import is_inside
from shards.entries import Entry, Listing, Reject
from shards.foreign.facts import find_fields, without_signal_facts
from shards.foreign.samples import fields_of
from shards.foreign.tar_files import SUFFIXES, open_tar
from shards.rejects import NOT_READ, reject_of
from shards.settings import LocalSource
from shards.sources.join import all_files_below
from shards.sources.packed import Packed, list_packed
from shards.tables.label_table import LABELS
from shards.unread import unread_files

_STRAY = "a member without key and ending, or of a key and an ending that an earlier one has"
_GLOB = frozenset("*?[")


def list_webdataset(settings: LocalSource) -> Listing | None:
    """List the samples of the tars below the source, or of those that `tars` names.

    Fields of their JSON are taken as the columns of a table of labels are. Of each tar nothing but
    headers and JSON is read here.
    """
    present = all_files_below(settings.source)
    tars, rejects = _tars(settings, present)
    if not tars:
        return None
    endings: Counter[str] = Counter()
    names: set[str] = set()

    def complete(entry: Entry) -> Entry:
        tar, _, number = entry.path.rpartition("#")
        return entry._replace(path=tar, reader="webdataset", item=int(number))

    samples = _samples(settings, tars, rejects, endings, names)
    listing = list_packed(settings, samples, complete)
    find_fields(names, settings.fields, thing=f"JSON in {settings.source}", of_signals=False)
    members = ", ".join(f".{ending} {number}" for ending, number in endings.most_common())
    found = f"members of {len(tars)} tars: {members}"
    if settings.tars is None:
        rest = [path for path in present if path not in set(tars)]
        in_use = settings.table or settings.source / LABELS
        rejects += unread_files(settings.source, rest, table=in_use)
    return replace(listing, rejects=[*rejects, *listing.rejects], found=(found, *listing.found))


def _tars(settings: LocalSource, present: Sequence[str]) -> tuple[list[str], list[Reject]]:
    """Return the tars that are there, and a reject for each that `tars` names and lacks."""
    if settings.tars is None:
        return [path for path in present if path.casefold().endswith(SUFFIXES)], []
    try:
        named = list(braceexpand(settings.tars))
    except ValueError as error:
        raise _wrong_pattern(settings.tars, str(error)) from None
    if not all(is_inside(name) for name in named):
        raise _wrong_pattern(settings.tars, "a path that is not below the source")
    found: dict[str, None] = {}
    lacking = []
    for name in named:
        is_glob = not _GLOB.isdisjoint(name)
        matching = fnmatch.filter(present, name) if is_glob else [p for p in present if p == name]
        if not matching:
            lacking.append(Reject(name, "missing_tar", "tars= names it, the source lacks it"))
        found |= dict.fromkeys(matching)
    return list(found), lacking


def _wrong_pattern(pattern: str, value: str) -> InputError:
    return InputError(
        f"tars {pattern!r}",
        value=value,
        expected="names below source=, such as train-{0000..0099}.tar or train-*.tar",
        remedy="Correct tars=.",
    )


def _samples(
    settings: LocalSource,
    tars: Sequence[str],
    rejects: list[Reject],
    endings: Counter[str],
    names: set[str],
) -> Iterator[Packed]:
    """Yield the samples of all tars; add what cannot be one to `rejects`, and count members."""
    for path in tars:
        try:
            tar = open_tar(settings.source / path)
        except RecordError as error:
            rejects.append(reject_of(error, path, settings.source))
            continue
        if tar.damage:
            message = f"{tar.damage}; its {len(tar.samples)} samples before that are read"
            rejects.append(Reject(path, "damaged_tar", message))
        rejects += [Reject(f"{path}/{name}", NOT_READ, _STRAY) for name in tar.others]
        for number, sample in enumerate(tar.samples):
            endings.update(sample.members.keys())
            place = f"{path}#{number}"
            try:
                fields = fields_of(tar, sample)
            except RecordError as error:
                rejects.append(reject_of(error, place, settings.source))
                continue
            names.update(fields)
            yield Packed(place, sample.key, without_signal_facts(fields, settings.fields))

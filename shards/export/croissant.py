"""croissant.json: files, columns and splits of an export in the vocabulary of MLCommons.

Croissant 1.0 (Akhtar et al. 2024) is JSON-LD with a fixed context, so that it is written as JSON;
tests hold it against mlcroissant, which this does not need.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamae.files import file_sha256
from lamae.release.licences import DataLicence

CROISSANT = "croissant.json"
"""Name of the file."""

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_PARQUET, _TAR = "application/x-parquet", "application/x-tar"


def describe_files(
    name: str,
    data_set: DataLicence | None,
    *,
    files: Sequence[dict[str, Any]],
    fields: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return the content of `croissant.json`.

    Args:
        name: of the folder.
        data_set: name, licence and citation of the recordings, where they are known.
        files: of `file_set` and `file_object`.
        fields: of `parquet_fields`; none where the files are tars.
    """
    found: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "".join(c if c.isalnum() or c in "-_" else "_" for c in name),
        "description": f"12-lead electrocardiograms: {data_set.name if data_set else name}",
    }
    if data_set is not None:
        found |= {"license": data_set.license, "citeAs": data_set.citation}
        found |= {"url": data_set.url} if data_set.url else {}
    found["distribution"] = list(files)
    if fields:
        records = {"@type": "cr:RecordSet", "@id": "recordings", "name": "recordings"}
        found["recordSet"] = [records | {"field": list(fields)}]
    return found


def file_set(name: str, includes: str) -> dict[str, Any]:
    """Describe files by a pattern."""
    form = _PARQUET if includes.endswith(".parquet") else _TAR
    described = {"@type": "cr:FileSet", "@id": name, "name": name}
    return described | {"encodingFormat": form, "includes": includes}


def file_object(path: Path, folder: Path) -> dict[str, Any]:
    """Describe one file with its checksum."""
    name = path.relative_to(folder).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": _PARQUET if path.suffix == ".parquet" else _TAR,
        "sha256": file_sha256(path),
    }


def parquet_fields(features: Mapping[str, Any], files: str) -> list[dict[str, Any]]:
    """Describe the columns of Parquet files, but for mappings, which have no type here."""
    fields = []
    for name, feature in features.items():
        if isinstance(feature, dict):
            continue
        inner, is_list = feature, False
        while hasattr(inner, "feature"):
            inner, is_list = inner.feature, True
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"recordings/{name}",
            "name": name,
            "dataType": _type(str(getattr(inner, "dtype", "string"))),
            "source": {"fileSet": {"@id": files}, "extract": {"column": name}},
        }
        if is_list or hasattr(feature, "shape"):
            field["repeated"] = True
        if classes := getattr(inner, "names", None):
            listed = (f"{number} {label}" for number, label in enumerate(classes))
            field["description"] = f"classes: {', '.join(listed)}"
        fields.append(field)
    return fields


def _type(dtype: str) -> str:
    if dtype.startswith("int"):
        return "sc:Integer"
    return "sc:Float" if dtype.startswith("float") else "sc:Text"

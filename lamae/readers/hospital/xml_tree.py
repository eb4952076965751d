"""XML of a stranger: of bounded size, without entities, by names without their namespaces."""

import base64
import binascii
import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np

from lamae.readers.hospital.channels import FormatError
from lamae.readers.regular_files import decoded, read_bounded

MAX_BYTES = 2**24
"""Largest file that is read: its tree takes many times as much."""

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def read_xml(path: Path) -> Element:
    """Return the root of a file; raises FormatError for entities and all that is no XML."""
    from defusedxml import DefusedXmlException, ElementTree

    try:
        content = read_bounded(path, max_bytes=MAX_BYTES)
    except OSError as error:
        raise FormatError(str(error)) from None
    try:
        try:
            root = ElementTree.fromstring(content)
        except ParseError:  # bytes of another encoding than is declared
            text = _DECLARATION.sub("", decoded(content), count=1)
            root = ElementTree.fromstring(text)
    except DefusedXmlException:
        raise FormatError("entities, which may lead out of the file or grow") from None
    except (ParseError, ValueError, LookupError) as error:
        place = f" at line {error.position[0]}" if isinstance(error, ParseError) else ""
        raise FormatError(f"no well-formed XML{place}") from None
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def text_at(element: Element | None, path: str) -> str:
    """Return the text at a path, or nothing."""
    found = None if element is None else element.find(path)
    return "" if found is None else (found.text or "").strip()


def attribute_at(element: Element | None, path: str, name: str) -> str:
    """Return an attribute of what is at a path, or nothing."""
    found = None if element is None else element.find(path)
    return "" if found is None else found.get(name, "").strip()


def number_of(text: str, what: str) -> float:
    """Return a number; raises FormatError that names `what` it should be."""
    try:
        number = float(text)
    except ValueError:
        raise FormatError(f"no number as {what}") from None
    if not np.isfinite(number):
        raise FormatError(f"no finite number as {what}")
    return number


def bytes_of(text: str, what: str) -> bytes:
    """Return bytes in base 64; raises FormatError that names `what` they should be."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(f"no base 64 as {what}") from None

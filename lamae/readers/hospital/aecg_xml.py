"""HL7 annotated ECG (ANSI/HL7 V3 ECG R1): sequences of digits with an origin and a scale."""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from lamae.ecg.record import About, Reading
from lamae.ecg.units import units_per_mv
from lamae.readers.hospital.channels import Channel, FormatError, read_channels, refusing
from lamae.readers.hospital.person import age_between, date_of, sex_of, time_of
from lamae.readers.hospital.xml_tree import attribute_at, number_of, read_xml
from lamae.readers.read_options import ReadOptions

TITLE = "HL7 aECG XML"
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_SUBJECT = "componentOf/timepointEvent/componentOf/subjectAssignment/subject/trialSubject"


def read(path: Path, options: ReadOptions) -> Reading:
    """Read the first rhythm series of a file, not its beats; raises RecordError."""
    with refusing(path, format_name=TITLE):
        root = read_xml(path)
        series = _rhythm(root)
        sequences = series.findall("component/sequenceSet[1]/component/sequence")
        times = [one for one in sequences if _code(one).startswith("TIME_")]
        if not times:
            raise FormatError("no sequence of times")
        rate = _rate(times[0])
        leads = [_lead(one, rate) for one in sequences if not _code(one).startswith("TIME_")]
        return read_channels(path, leads, options, about=_about(root, series, times[0]))


def _rhythm(root: Element) -> Element:
    for series in root.findall("component/series"):
        if _code(series) != "REPRESENTATIVE_BEAT":
            return series
    raise FormatError("no rhythm series")


def _code(element: Element) -> str:
    return attribute_at(element, "code", "code").upper()


def _rate(sequence: Element) -> float:
    increment = number_of(attribute_at(sequence, "value/increment", "value"), "the increment")
    seconds = _SECONDS.get(attribute_at(sequence, "value/increment", "unit"))
    if seconds is None or increment <= 0:
        raise FormatError("no increment of time in seconds")
    return 1 / (increment * seconds)


def _lead(sequence: Element, rate: float) -> Channel:
    value = sequence.find("value")
    digits = None if value is None else value.find("digits")
    name = _code(sequence)
    try:
        values = np.array(("" if digits is None else digits.text or "").split(), np.float64)
    except ValueError:
        raise FormatError(f"no numbers as the digits of {name[:40]}") from None
    step = number_of(attribute_at(value, "scale", "value") or "1", "the scale")
    unit = attribute_at(value, "scale", "unit")
    origin = number_of(attribute_at(value, "origin", "value") or "0", "the origin")
    origin_unit = attribute_at(value, "origin", "unit") or unit
    if origin and origin_unit != unit:
        origin *= (units_per_mv(unit) or 0) / (units_per_mv(origin_unit) or 1)
    return Channel(name, values, step, unit, rate, zero=-origin / step if step else 0.0)


def _about(root: Element, series: Element, times: Element) -> About:
    subject = root.find(_SUBJECT)
    person = None if subject is None else subject.find("subjectDemographicPerson")
    stated = attribute_at(series, "effectiveTime/low", "value")
    stated = stated or attribute_at(root, "effectiveTime/low", "value")
    start = time_of(stated or attribute_at(times, "value/head", "value"))
    born = date_of(attribute_at(person, "birthTime", "value")[:8])
    return About(
        attribute_at(subject, "id", "extension") or None,
        age_between(born, start.date() if start else None),
        sex_of(attribute_at(person, "administrativeGenderCode", "code")),
        start,
    )

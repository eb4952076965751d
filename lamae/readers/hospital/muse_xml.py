"""GE MUSE: the XML of resting ECGs. Leads that it leaves out follow from those that it has."""

import zlib
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from lamae.ecg.record import About, Reading
from lamae.readers.hospital.channels import Channel, FormatError, read_channels, refusing
from lamae.readers.hospital.person import age_between, age_of, date_of, sex_of, time_of
from lamae.readers.hospital.xml_tree import bytes_of, number_of, read_xml, text_at
from lamae.readers.read_options import ReadOptions

TITLE = "GE MUSE XML"
_MISSING = -32768


def read(path: Path, options: ReadOptions) -> Reading:
    """Read the rhythm, not the median beats, of a file; raises RecordError."""
    with refusing(path, format_name=TITLE):
        root = read_xml(path)
        waveform = _rhythm(root)
        exponent = number_of(text_at(waveform, "SampleExponent") or "0", "the exponent of the rate")
        rate = number_of(text_at(waveform, "SampleBase"), "the rate") * 10 ** min(exponent, 9)
        notes: list[str] = []
        leads = [_lead(one, rate, options, notes) for one in waveform.findall("LeadData")]
        return read_channels(path, leads, options, about=_about(root), notes=notes)


def _rhythm(root: Element) -> Element:
    for waveform in root.findall("Waveform"):
        if text_at(waveform, "WaveformType").lower() in ("rhythm", ""):
            return waveform
    raise FormatError("no rhythm waveform")


def _lead(data: Element, rate: float, options: ReadOptions, notes: list[str]) -> Channel:
    name = text_at(data, "LeadID")
    content = bytes_of(text_at(data, "WaveFormData"), f"the samples of lead {name[:8]}")
    width = text_at(data, "LeadSampleSize") or "2"
    if width not in ("1", "2", "4") or len(content) % int(width):
        raise FormatError(f"{len(content)} bytes of lead {name[:8]}, which are no whole samples")
    values = np.frombuffer(content, f"<i{width}")
    stated = text_at(data, "LeadSampleCountTotal")
    if stated and number_of(stated, "the number of samples") != len(values):
        raise FormatError(
            f"{len(values)} samples of lead {name[:8]}, where another number is stated"
        )
    checksum = text_at(data, "LeadDataCRC32")
    if checksum.strip("0") and checksum != str(zlib.crc32(content)):
        if options.checksums == "strict":
            raise FormatError(f"another checksum of lead {name[:8]} than it states")
        notes.append(f"The checksum of {name[:8]} is not that of the file.")
    if text_at(data, "LeadOff").upper() == "TRUE":
        notes.append(f"The file says that lead {name[:8]} was off.")
    step = number_of(text_at(data, "LeadAmplitudeUnitsPerBit"), "the units per bit")
    unit = text_at(data, "LeadAmplitudeUnits")
    missing = values == _MISSING
    return Channel(name, values, step, unit, rate, missing=missing if missing.any() else None)


def _about(root: Element) -> About:
    person, test = root.find("PatientDemographics"), root.find("TestDemographics")
    start = time_of(text_at(test, "AcquisitionDate"), text_at(test, "AcquisitionTime"))
    age = age_of(text_at(person, "PatientAge"), text_at(person, "AgeUnits"))
    if age is None:
        age = age_between(date_of(text_at(person, "DateofBirth")), start.date() if start else None)
    return About(
        text_at(person, "PatientID") or None, age, sex_of(text_at(person, "Gender")), start
    )

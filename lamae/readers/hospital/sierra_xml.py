"""Philips Sierra XML 1.03 to 1.04.02: samples in base 64 or as text, plain or compressed by XLI.

XLI: https://github.com/sixlettervariables/sierra-ecg-tools/wiki
"""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from lamae.ecg.leads import LEADS, known_lead
from lamae.ecg.record import About, Reading
from lamae.readers.hospital.channels import Channel, FormatError, read_channels, refusing
from lamae.readers.hospital.person import age_between, age_of, date_of, sex_of, time_of
from lamae.readers.hospital.xml_tree import bytes_of, number_of, read_xml, text_at
from lamae.readers.read_options import ReadOptions

TITLE = "Philips Sierra XML"
_SIGNAL = "dataacquisition/signalcharacteristics"
_PERSON = "patient/generalpatientdata"
_MAX_COMPRESSED_BYTES = 2**18  # each may become several hundred
_MAX_SECONDS = 600.0
_PULSE_MV = (0.5, 2.0)
_PULSE_S = (0.1, 2.0)
"""Height and length of a calibration pulse behind the recording."""


def read(path: Path, options: ReadOptions) -> Reading:
    """Read the rhythm of a file, without a calibration pulse behind it; raises RecordError."""
    with refusing(path, format_name=TITLE):
        root = read_xml(path)
        waveforms = root.find(".//parsedwaveforms")
        if waveforms is None:
            raise FormatError("no waveforms")
        rate = number_of(_stated(root, waveforms, "samplespersecond", "samplingrate"), "the rate")
        step_uv = number_of(_stated(root, waveforms, "resolution", "resolution"), "the resolution")
        zero = number_of(
            _stated(root, waveforms, "signaloffset", "signaloffset") or "0", "the zero"
        )
        names = _names(root, waveforms)
        seconds = number_of(waveforms.get("durationperchannel", ""), "the duration") / 1000
        if not 0 < seconds <= _MAX_SECONDS:
            raise FormatError(f"{seconds:g} seconds")
        values = _values(root, waveforms, names)[:, : round(seconds * rate)]
        kept = len(values[0]) - pulse_behind(values * step_uv / 1000, rate)
        notes = []
        if len(values[0]) < round(seconds * rate):
            notes.append(f"The file has {len(values[0]) / rate:g} s where it states {seconds:g}.")
        if cut := len(values[0]) - kept:
            notes.append(f"A calibration pulse of {cut / rate:.2g} s was cut off.")
        leads = [
            Channel(name, row[:kept], step_uv, "uV", rate, zero=zero)
            for name, row in zip(names, values, strict=True)
        ]
        return read_channels(path, leads, options, about=_about(root), notes=notes)


def pulse_behind(signal_mv: np.ndarray, rate: float) -> int:
    """Return the samples of a calibration pulse at the end of (leads, samples), 0 of none.

    There all leads are the same, which no heart makes them, and rise by about a millivolt.
    """
    differs = np.flatnonzero(np.ptp(signal_mv - signal_mv[:, -1:], axis=0) > 1e-9)
    start = int(differs[-1]) + 1 if differs.size else 0
    pulse = signal_mv[0, start:]
    if len(signal_mv) < 2 or not start or not pulse.size:
        return 0
    low, high = _PULSE_S
    fits = low <= len(pulse) / rate <= high and _PULSE_MV[0] <= np.ptp(pulse) <= _PULSE_MV[1]
    return len(pulse) if fits else 0


def _stated(root: Element, waveforms: Element, attribute: str, element: str) -> str:
    """Return what the waveforms say of themselves, else what the acquisition does."""
    return waveforms.get(attribute, "").strip() or text_at(root, f"{_SIGNAL}/{element}")


def _names(root: Element, waveforms: Element) -> list[str]:
    names = waveforms.get("leadlabels", "").split()
    stated = waveforms.get("numberofleads") or text_at(root, f"{_SIGNAL}/numberchannelsallocated")
    count = int(number_of(stated or str(len(names)), "the number of leads"))
    if not names and text_at(root, f"{_SIGNAL}/acquisitiontype") in ("STD-12", "10-WIRE"):
        names = [*LEADS, *(f"channel {number}" for number in range(13, count + 1))]
    if not 0 < count <= len(names):
        raise FormatError(f"{count} leads with {len(names)} names")
    return names[:count]


def _values(root: Element, waveforms: Element, names: list[str]) -> np.ndarray:
    """Return integers (leads, samples)."""
    compression = waveforms.get("compressmethod") or waveforms.get("compression") or ""
    text, encoding = waveforms.text or "", waveforms.get("dataencoding", "")
    if compression.upper() == "XLI":
        return _expanded(bytes_of(text, "the samples"), names)
    if compression and compression.lower() != "uncompressed":
        raise FormatError("a compression that is not XLI")
    if encoding.lower() == "plain":
        try:
            values = np.array(text.replace(",", " ").split(), np.int64)
        except (ValueError, OverflowError):
            raise FormatError("no integers as the samples") from None
    else:
        signed = _stated(root, waveforms, "signalsigned", "signalsigned").lower() != "false"
        content = bytes_of(text, "the samples")
        values = np.frombuffer(content[: len(content) // 2 * 2], "<i2" if signed else "<u2")
    if len(values) % len(names):
        raise FormatError(f"{len(values)} samples of {len(names)} leads")
    return values.reshape(len(names), -1).astype(np.int64)


def _expanded(content: bytes, names: list[str]) -> np.ndarray:
    """Undo XLI; limb leads are stored as what Einthoven's and Goldberger's laws leave of them."""
    from ecgdatakit.parsing.codecs.xli import xli_decode

    if len(content) > _MAX_COMPRESSED_BYTES:
        raise FormatError(f"{len(content)} compressed bytes, more than {_MAX_COMPRESSED_BYTES}")
    rows = xli_decode(content)
    if len(rows) < len(names):
        raise FormatError(f"{len(rows)} compressed leads of {len(names)}")
    samples = min(len(row) for row in rows)
    values = np.stack([row[:samples] for row in rows[: len(names)]]).astype(np.int64)
    if tuple(known_lead(name) for name in names[:6]) == LEADS[:6]:
        first, second = values[:2]
        values[2] = third = second - first - values[2]
        values[3] = -values[3] - (first + second) // 2
        values[4] = (first - third) // 2 - values[4]
        values[5] = (second + third) // 2 - values[5]
    return values


def _about(root: Element) -> About:
    person, acquisition = root.find(_PERSON), root.find("dataacquisition")
    start = None
    if acquisition is not None:
        start = time_of(acquisition.get("date"), acquisition.get("time"))
    age = age_of(text_at(person, "age/years"))
    if age is None:
        born = text_at(person, "age/dateofbirth") or text_at(person, "dateofbirth")
        age = age_between(date_of(born), start.date() if start else None)
    identifier = text_at(person, "patientid") or text_at(person, "MRN")
    return About(identifier or None, age, sex_of(text_at(person, "sex")), start)

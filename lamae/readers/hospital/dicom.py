"""DICOM waveforms (PS3.3 C.10.9), read by pydicom."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from lamae.ecg.leads import known_lead
from lamae.ecg.record import About, Reading
from lamae.readers.hospital.channels import (
    Channel,
    FormatError,
    UnsupportedError,
    check_size,
    read_channels,
    refusing,
)
from lamae.readers.hospital.person import age_between, age_of, date_of, sex_of, time_of
from lamae.readers.read_options import ReadOptions
from lamae.readers.traces import MAX_SAMPLES

TITLE = "DICOM waveform"
MAX_BYTES = 2**28
"""Largest file that is read."""
_LEADS_OF_SCP = {
    1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6",
    61: "III", 62: "aVR", 63: "aVL", 64: "aVF",
}  # fmt: skip
"""Numbers of leads in MDC (2:1) and SCPECG (5.6.3-9-1) codes (PS3.16 CID 3001)."""


def read(path: Path, options: ReadOptions) -> Reading:
    """Read the multiplex group with the most leads, and what was recorded with it."""
    with refusing(path, format_name=TITLE):
        import pydicom
        from pydicom.filereader import read_file_meta_info

        check_size(path, max_bytes=MAX_BYTES)
        if getattr(read_file_meta_info(path).get("TransferSyntaxUID"), "is_deflated", False):
            raise UnsupportedError("a deflated file, which may grow without limit")
        # In memory, where no length that an element claims is allocated beyond the end.
        data = pydicom.dcmread(io.BytesIO(path.read_bytes()))
        groups = [_group(data, number) for number in range(len(data.get("WaveformSequence", [])))]
        if not groups:
            raise FormatError("no waveform in it")
        best = max(groups, key=_standard_leads)
        names = {known_lead(channel.name) for channel in best}
        beside = [
            channel
            for group in groups
            if group is not best and _shape(group) == _shape(best)
            for channel in group
            if known_lead(channel.name) not in names
        ]
        return read_channels(path, [*best, *beside], options, about=_about(data))


def _standard_leads(group: list[Channel]) -> tuple[int, int]:
    return sum(known_lead(channel.name) is not None for channel in group), _shape(group)[1]


def _shape(group: list[Channel]) -> tuple[float, int]:
    return (group[0].sampling_rate, len(group[0].values)) if group else (0.0, 0)


def _group(data: Any, number: int) -> list[Channel]:
    from pydicom.waveforms.numpy_handler import multiplex_array

    item = data.WaveformSequence[number]
    values = multiplex_array(data, number, as_raw=True).T
    rate = float(item.SamplingFrequency)
    padding = item.get("WaveformPaddingValue")
    channels = []
    late = _late(item.ChannelDefinitionSequence, rate)
    for definition, row, before in zip(item.ChannelDefinitionSequence, values, late, strict=True):
        missing = None
        if padding is not None and len(bytes(padding)) >= row.itemsize:
            missing = row == np.frombuffer(bytes(padding)[: row.itemsize], values.dtype)[0]
        step, unit, zero = _scale(definition)
        # pydicom takes samples for little-endian in files of either order.
        row = row if data.file_meta.TransferSyntaxUID.is_little_endian else row.byteswap()
        if before:
            known = np.zeros(len(row), bool) if missing is None else missing
            missing = np.pad(known, (before, 0), constant_values=True)
            row = np.pad(row, (before, 0))
        channels.append(Channel(_name(definition), row, step, unit, rate, zero, missing))
    return channels


def _late(definitions: Any, rate: float) -> list[int]:
    """Return by how many samples each channel begins behind the first."""
    skews = [
        float(one.get("ChannelSampleSkew") or 0) or float(one.get("ChannelTimeSkew") or 0) * rate
        for one in definitions
    ]
    late = [round(skew - min(skews)) for skew in skews]
    if max(late, default=0) > MAX_SAMPLES:
        raise FormatError(f"a channel that begins {max(late)} samples late")
    return late


def _scale(definition: Any) -> tuple[float, str, float]:
    """Return the size of an integer, its unit, and the stored value at 0."""
    if "ChannelSensitivity" not in definition:
        return 0.0, "", 0.0
    factor = definition.get("ChannelSensitivityCorrectionFactor")
    step = float(definition.ChannelSensitivity) * (1.0 if factor is None else float(factor))
    unit = str(definition.ChannelSensitivityUnitsSequence[0].CodeValue)
    baseline = float(definition.get("ChannelBaseline") or 0)
    return step, unit, -baseline / step if step else 0.0


def _name(definition: Any) -> str:
    """Return the name of a channel: by the code of its lead, else by its meaning or label."""
    sources = definition.get("ChannelSourceSequence") or [None]
    code = str(sources[0].get("CodeValue", "")) if sources[0] is not None else ""
    last = code.replace("-", ":").rpartition(":")[2]
    if code.startswith(("2:", "5.6.3-9-")) and last.isdecimal() and int(last) in _LEADS_OF_SCP:
        return _LEADS_OF_SCP[int(last)]
    meaning = str(sources[0].get("CodeMeaning", "")) if sources[0] is not None else ""
    for name in (code, meaning, str(definition.get("ChannelLabel", ""))):
        if known_lead(name):
            return name
    return meaning or str(definition.get("ChannelLabel", ""))


def _about(data: Any) -> About:
    stated = str(data.get("AcquisitionDateTime") or "")
    day = data.get("AcquisitionDate") or data.get("ContentDate") or data.get("StudyDate")
    clock = data.get("AcquisitionTime") or data.get("ContentTime") or data.get("StudyTime")
    start = time_of(stated) or time_of(str(day or ""), str(clock or ""))
    age = str(data.get("PatientAge") or "")
    years = age_of(age[:-1], age[-1:] or "Y")
    if years is None:
        born = date_of(str(data.get("PatientBirthDate") or ""))
        years = age_between(born, start.date() if start else None)
    identifier = str(data.get("PatientID") or "").strip()
    return About(identifier or None, years, sex_of(str(data.get("PatientSex") or "")), start)

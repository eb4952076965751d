"""Files of hospitals, written byte by byte or by their own libraries, and read by two readers."""

import base64
import binascii
import json
import struct
import zlib
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import edfio
import numpy as np
import pydicom
import pytest
from ecgdatakit import FileParser
from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage

import lamae
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.readers.formats import format_of

SAMPLES, RATE, STEP_UV = 600, 500, 5
NAME, BORN = ("Roebuckson", "Janequilla"), date(1960, 2, 29)
PATIENT_ID = "PID-4711"
START = datetime(2021, 3, 4, 5, 6, 7)


def digital(leads: tuple[str, ...] = LEADS) -> np.ndarray:
    """Return integers (leads, samples) in which the limb leads obey Einthoven."""
    rng = np.random.default_rng(0)
    wave = np.cumsum(rng.integers(-9, 10, (12, SAMPLES)), axis=1)
    wave[:2] *= 2
    wave[2], wave[3] = wave[1] - wave[0], -(wave[0] + wave[1]) // 2
    wave[4], wave[5] = wave[0] - wave[1] // 2, wave[1] - wave[0] // 2
    return np.stack([wave[LEADS.index(lead)] for lead in leads]).astype(np.int16)


def edit(path: Path, old: str, new: str) -> None:
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode()))


def write_muse(path: Path, names: tuple[str, ...] = INDEPENDENT_LEADS) -> None:
    leads = []
    for name, row in zip(names, digital(names), strict=True):
        content = row.astype("<i2").tobytes()
        leads.append(
            f"<LeadData><LeadSampleCountTotal>{SAMPLES}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{STEP_UV}</LeadAmplitudeUnitsPerBit>"
            "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>"
            f"<LeadID>{name}</LeadID><LeadSampleSize>2</LeadSampleSize>"
            f"<LeadDataCRC32>{zlib.crc32(content)}</LeadDataCRC32>"
            f"<WaveFormData>{base64.b64encode(content).decode()}</WaveFormData></LeadData>"
        )
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?><!DOCTYPE RestingECG SYSTEM "restecg.dtd">'
        f"<RestingECG><MuseInfo/><PatientDemographics><PatientID>{PATIENT_ID}</PatientID>"
        f"<PatientLastName>{NAME[0]}</PatientLastName><PatientFirstName>{NAME[1]}"
        "</PatientFirstName><DateofBirth>02-29-1960</DateofBirth><Gender>FEMALE</Gender>"
        "</PatientDemographics><TestDemographics><AcquisitionDate>03-04-2021</AcquisitionDate>"
        "<AcquisitionTime>05:06:07</AcquisitionTime></TestDemographics><Waveform><WaveformType>"
        "Median</WaveformType><SampleBase>250</SampleBase></Waveform><Waveform><WaveformType>Rhythm</WaveformType>"
        f"<SampleBase>{RATE}</SampleBase><SampleExponent>0</SampleExponent>{''.join(leads)}"
        "</Waveform></RestingECG>",
        encoding="latin-1",
    )


def sierra(content: bytes, compression: str = "", *, samples: int = SAMPLES) -> str:
    return (
        '<?xml version="1.0"?><restingecgdata xmlns="http://www3.medical.philips.com">'
        "<documentinfo><documenttype>SierraECG</documenttype><documentversion>1.04"
        '</documentversion></documentinfo><dataacquisition date="2021-03-04" time="05:06:07">'
        f"<signalcharacteristics><samplingrate>{RATE}</samplingrate><resolution>{STEP_UV}"
        "</resolution></signalcharacteristics></dataacquisition><patient><generalpatientdata>"
        f"<patientid>{PATIENT_ID}</patientid><name><lastname>{NAME[0]}</lastname><firstname>"
        f"{NAME[1]}</firstname></name><age><dateofbirth>1960-02-29</dateofbirth></age>"
        "<sex>Female</sex></generalpatientdata></patient><waveforms><parsedwaveforms "
        f'dataencoding="Base64" compression="{compression}" numberofleads="12" '
        f'leadlabels="{" ".join(LEADS)}" durationperchannel="{samples * 1000 // RATE}">'
        f"{base64.b64encode(content).decode()}</parsedwaveforms></waveforms></restingecgdata>"
    )


def write_sierra(path: Path) -> None:
    path.write_text(sierra(digital().astype("<i2").tobytes()))


def write_aecg(path: Path) -> None:
    sequences = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{name.upper()}"/><value><origin value="0" '
        f'unit="uV"/><scale value="{STEP_UV}" unit="uV"/><digits>{" ".join(map(str, row))}'
        "</digits></value></sequence></component>"
        for name, row in zip(LEADS, digital(), strict=True)
    )
    path.write_text(
        '<?xml version="1.0"?><AnnotatedECG xmlns="urn:hl7-org:v3"><effectiveTime><low '
        'value="20210304050607.000"/></effectiveTime><componentOf><timepointEvent><componentOf>'
        f'<subjectAssignment><subject><trialSubject><id extension="{PATIENT_ID}"/>'
        f"<subjectDemographicPerson><name><family>{NAME[0]}</family><given>{NAME[1]}</given></name>"
        '<administrativeGenderCode code="F"/><birthTime value="19600229"/>'
        "</subjectDemographicPerson></trialSubject></subject></subjectAssignment></componentOf>"
        '</timepointEvent></componentOf><component><series><code code="RHYTHM"/><component>'
        '<sequenceSet><component><sequence><code code="TIME_RELATIVE"/><value><head value="0" '
        f'unit="s"/><increment value="{1 / RATE}" unit="s"/></value></sequence></component>'
        f"{sequences}</sequenceSet></component></series></component></AnnotatedECG>"
    )


def write_dicom(path: Path) -> None:
    def channel(name: str) -> pydicom.Dataset:
        unit = pydicom.Dataset()
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "uV", "UCUM", "microvolt"
        source = pydicom.Dataset()
        source.CodeValue, source.CodingSchemeDesignator = f"MDC_ECG_LEAD_{name.upper()}", "MDC"
        source.CodeMeaning = f"Lead {name}"
        one = pydicom.Dataset()
        one.ChannelSourceSequence, one.ChannelSensitivityUnitsSequence = [source], [unit]
        one.ChannelSensitivity, one.ChannelSensitivityCorrectionFactor = str(STEP_UV), "1"
        one.ChannelBaseline, one.WaveformBitsStored = "0", 16
        return one

    group = pydicom.Dataset()
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = 12, SAMPLES
    group.SamplingFrequency, group.WaveformBitsAllocated = str(RATE), 16
    group.WaveformSampleInterpretation = "SS"
    group.ChannelDefinitionSequence = [channel(name) for name in LEADS]
    group.WaveformData = digital().T.astype("<i2").tobytes()
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = TwelveLeadECGWaveformStorage, "1.2.3"
    file.PatientName, file.PatientID = "^".join(NAME), PATIENT_ID
    file.PatientBirthDate, file.PatientSex = "19600229", "F"
    file.AcquisitionDateTime, file.WaveformSequence = "20210304050607.00", [group]
    file.save_as(path, enforce_file_format=True)


def write_edf(path: Path, *, record_s: float = SAMPLES / RATE) -> None:
    leads = [
        edfio.EdfSignal(
            row * STEP_UV / 1000, RATE, label=f"ECG {name}", physical_dimension="mV",
            physical_range=(-32768 * STEP_UV / 1000, 32767 * STEP_UV / 1000),
        )
        for name, row in zip(LEADS, digital(), strict=True)
    ]  # fmt: skip
    ones = np.ones(round(SAMPLES / RATE / record_s))
    other = edfio.EdfSignal(ones, 1 / record_s, label="SpO2", physical_range=(0, 100))
    person = edfio.Patient(code=PATIENT_ID, sex="F", birthdate=BORN, name="_".join(NAME))
    recording = edfio.Recording(startdate=START.date())
    edfio.Edf(
        [*leads, other], patient=person, recording=recording, starttime=START.time(),
        data_record_duration=record_s, annotations=[edfio.EdfAnnotation(0.1, None, "beat")],
    ).write(path)  # fmt: skip


def write_scp(
    path: Path, *, rhythm_section: int = 6, bimodal: int = 0, patient: str = PATIENT_ID
) -> None:
    def crc(content: bytes) -> bytes:
        return struct.pack("<H", binascii.crc_hqx(content, 0xFFFF))

    def section(number: int, body: bytes) -> bytes:
        body += b"\0" * (len(body) % 2)
        rest = struct.pack("<HIBB6x", number, len(body) + 16, 20, 20) + body
        return crc(rest) + rest

    def tag(number: int, content: bytes) -> bytes:
        return struct.pack("<BH", number, len(content)) + content

    person = tag(0, NAME[0].encode() + b"\0") + tag(1, NAME[1].encode() + b"\0")
    person += tag(2, patient.encode() + b"\0") + tag(5, struct.pack("<HBB", 1960, 2, 29))
    person += tag(8, b"\x02") + tag(25, struct.pack("<HBB", 2021, 3, 4)) + tag(26, bytes([5, 6, 7]))
    codes = [1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8]
    spans = b"".join(struct.pack("<IIB", 1, SAMPLES, code) for code in codes)
    sizes = struct.pack("<12H", *[2 * SAMPLES] * 12)
    rhythm = struct.pack("<HHBB", STEP_UV * 1000, 1_000_000 // RATE, 0, bimodal) + sizes
    bodies = {1: person + tag(255, b""), 3: bytes([12, 0x64]) + spans,
              rhythm_section: rhythm + digital().astype("<i2").tobytes()}  # fmt: skip
    sections = {number: section(number, body) for number, body in bodies.items()}
    length0, place = 16 + 10 * 13, 7
    pointers = struct.pack("<HII", 0, length0, place)
    place += length0
    for number in range(1, 13):
        content = sections.get(number, b"")
        pointers += struct.pack("<HII", number, len(content), place if content else 0)
        place += len(content)
    rest = section(0, pointers) + b"".join(sections.values())
    rest = struct.pack("<I", len(rest) + 6) + rest
    path.write_bytes(crc(rest) + rest)


def write_ishne(path: Path) -> None:
    codes = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    block = struct.pack("<iiiih", 0, SAMPLES, 522, 522, 1)
    block += NAME[1].encode().ljust(40, b"\0") + NAME[0].encode().ljust(40, b"\0")
    block += PATIENT_ID.encode().ljust(20, b"\0") + struct.pack("<hh", 2, 0)
    block += struct.pack("<3h", 29, 2, 1960) + struct.pack("<3h", 4, 3, 2021) * 2
    block += struct.pack("<3h", 5, 6, 7) + struct.pack("<h", 12) + struct.pack("<12h", *codes)
    block += struct.pack("<12h", *[1] * 12) + struct.pack("<12h", *[STEP_UV * 1000] * 12)
    block += struct.pack("<h", 0) + b"digital".ljust(40, b"\0") + struct.pack("<h", RATE)
    block = block.ljust(512, b"\0")
    checksum = struct.pack("<H", binascii.crc_hqx(block, 0xFFFF))
    path.write_bytes(b"ISHNE1.0" + checksum + block + digital().T.astype("<i2").tobytes())


def write_mfer(path: Path) -> None:
    def tag(number: int, content: bytes) -> bytes:
        long = len(content) > 127
        size = struct.pack(">BI", 0x84, len(content)) if long else bytes([len(content)])
        return bytes([number]) + size + content

    leads = b"".join(
        b"\x3f" + bytes([channel]) + bytes([4]) + tag(0x09, struct.pack(">H", code))
        for channel, code in enumerate([1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8])
    )
    start = struct.pack(">HBBBBBHH", 2021, 3, 4, 5, 6, 7, 0, 0)
    path.write_bytes(
        tag(0x40, b"MFR Standard 12 leads ECG".ljust(32)) + tag(0x01, b"\0")
        + tag(0x81, " ".join(NAME).encode()) + tag(0x82, PATIENT_ID.encode()) + tag(0x84, b"\x02")
        + tag(0x83, struct.pack(">BHHBB", 61, 0, 1960, 2, 29)) + tag(0x85, start)
        + tag(0x0B, struct.pack(">BbB", 1, -3, 1000 // RATE))
        + tag(0x0C, struct.pack(">BbB", 0, -6, STEP_UV)) + tag(0x04, struct.pack(">H", SAMPLES))
        + tag(0x05, bytes([12])) + tag(0x06, struct.pack(">H", 1)) + leads
        + tag(0x1E, digital().astype(">i2").tobytes()) + b"\x80"
    )  # fmt: skip


def write_kardia(path: Path) -> None:
    names = {
        "leadI": "I",
        "leadII": "II",
        "leadIII": "III",
        "AVR": "aVR",
        "AVL": "aVL",
        "AVF": "aVF",
    }
    samples = {key: digital((lead,))[0].tolist() for key, lead in names.items()}
    raw = {"frequency": RATE, "amplitudeResolution": STEP_UV * 1000, "samples": samples}
    path.write_text(
        json.dumps(
            {"id": "r", "patientID": PATIENT_ID, "recordedAt": START.isoformat(), "note": NAME[1],
             "data": {"raw": raw}}
        )
    )  # fmt: skip


WRITERS: dict[str, Callable[[Path], None]] = {
    "muse": write_muse, "sierra": write_sierra, "aecg": write_aecg, "dicom": write_dicom,
    "edf": write_edf, "scp": write_scp, "ishne": write_ishne, "mfer": write_mfer,
    "kardia": write_kardia,
}  # fmt: skip


@pytest.mark.parametrize("form", WRITERS)
def test_a_file_gives_its_integers_and_who_and_when_but_no_name(tmp_path: Path, form: str) -> None:
    path = tmp_path / "recording.bin"
    WRITERS[form](path)
    assert format_of(path) == form
    record = lamae.read_ecg(path)
    assert np.array_equal(record.digital, digital(record.leads))
    leads = {"muse": INDEPENDENT_LEADS, "kardia": LEADS[:6]}.get(form, LEADS)
    assert (record.leads, record.sampling_rate) == (leads, RATE)
    assert record.gain == pytest.approx((1000 / STEP_UV,) * len(leads))
    assert record.baseline == (0,) * len(leads)
    about = record.about
    assert (about.patient_id, about.start) == (PATIENT_ID, START)
    if form != "kardia":
        assert (about.age, about.sex) == (61.0, "female")
    assert not any(word in repr(record) for word in (*NAME, "1960"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", ["muse", "sierra", "aecg", "dicom", "edf"])
def test_another_reader_gives_the_same_samples(tmp_path: Path, form: str) -> None:
    path = tmp_path / "recording.bin"
    WRITERS[form](path)
    record = lamae.read_ecg(path)
    for lead in FileParser.parse(path).leads:
        if lead.label in record.leads:
            theirs = lead.to_physical().convert_units("mV").samples
            ours = record.signal_mv()[record.leads.index(lead.label)]
            np.testing.assert_allclose(ours, theirs, atol=STEP_UV / 2000)

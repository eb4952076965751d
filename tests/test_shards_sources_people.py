from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamae.errors import InputError
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from shards.sources.kinds import list_source
from tests.test_lamae_readers_hospital_files import write_scp

DRAWS = np.random.default_rng(0)


def settings_of(source: Path, **changes: Any) -> ShardsSettings:
    quality = {"missing_leads": {"policy": "ignore"}}
    values = {"source": source, "output": source.parent / "out", "quality": quality, "workers": 1}
    return ShardsSettings.model_validate(values | changes)


def muse_xml(patient: str, age: int) -> str:
    """Write a GE MUSE export of eight leads at 200 Hz."""

    def lead(name: str) -> str:
        wave = b64encode(DRAWS.normal(0, 50, 1200).astype("<i2").tobytes()).decode()
        return (
            f"<LeadData><LeadID>{name}</LeadID><LeadSampleCountTotal>1200</LeadSampleCountTotal>"
            "<LeadAmplitudeUnitsPerBit>4.88</LeadAmplitudeUnitsPerBit>"
            "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadSampleSize>2</LeadSampleSize>"
            f"<WaveFormData>{wave}</WaveFormData></LeadData>"
        )

    leads = "".join(map(lead, ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")))
    return (
        '<?xml version="1.0"?><RestingECG><PatientDemographics>'
        f"<PatientID>{patient}</PatientID><PatientAge>{age}</PatientAge><AgeUnits>YEARS</AgeUnits>"
        "<Gender>FEMALE</Gender><PatientLastName>SECRETNAME</PatientLastName>"
        "</PatientDemographics><Waveform><WaveformType>Rhythm</WaveformType>"
        "<SampleBase>200</SampleBase><SampleExponent>0</SampleExponent>"
        f"<NumberofLeads>8</NumberofLeads>{leads}</Waveform></RestingECG>"
    )


def test_files_of_hospitals_state_their_patients_where_no_table_does(tmp_path: Path) -> None:
    source = tmp_path / "rec"
    source.mkdir()
    for name, patient in (("a", "7"), ("b", "7 "), ("c", "8"), ("d", "")):
        (source / f"{name}.xml").write_text(muse_xml(patient, 61))
    (source / "plan.xml").write_text("<plan/>")
    found = list_source(settings_of(source))
    assert [entry.patient_id for entry in found.entries] == ["7", "7", "8", "d.xml"]
    assert {tuple(entry.about.items()) for entry in found.entries} == {
        (("age", "61"), ("sex", "female"))
    }
    assert [(r.name, r.reason) for r in found.rejects] == [("plan.xml", "not_read")]
    (tmp_path / "t.csv").write_text("file,patient,AF\na,X,1\nb,Y,0\nc,Y,1\nd,Y,0\n")
    named = list_source(settings_of(source, table=tmp_path / "t.csv"))
    assert [entry.patient_id for entry in named.entries] == ["X", "Y", "Y", "Y"]
    own = list_source(settings_of(source, patients="none"))
    assert len({entry.patient_id for entry in own.entries}) == own.without_patient == 4
    build_shards(settings_of(source))
    for path in (tmp_path / "out").iterdir():
        assert b"SECRETNAME" not in path.read_bytes()


@pytest.mark.parametrize("patient", ["7\x1b[31m", "7\x07", "1.23E+05"])
def test_a_file_whose_patient_is_no_id_is_a_reject_and_ends_no_build(
    tmp_path: Path, patient: str
) -> None:
    source = tmp_path / "rec"
    source.mkdir()
    (source / "a.xml").write_text(muse_xml("8", 61))
    write_scp(source / "b.scp", patient=patient)
    found = list_source(settings_of(source))
    assert [(entry.path, entry.patient_id) for entry in found.entries] == [("a.xml", "8")]
    assert [(r.name, r.reason) for r in found.rejects] == [("b.scp", "unreadable_patient")]
    assert found.without_patient == 0 and patient not in found.rejects[0].message
    (tmp_path / "t.csv").write_text("file,patient,AF\na,8,1\nb,9,0\n")
    named = list_source(settings_of(source, table=tmp_path / "t.csv"))
    assert [entry.patient_id for entry in named.entries] == ["8", "9"]


@pytest.mark.parametrize(("one", "other"), [("0007", "7"), ("p7", "P7"), ("007", "7.0")])
def test_patients_of_files_that_are_alike_are_never_guessed_about(
    tmp_path: Path, one: str, other: str
) -> None:
    for name, patient in (("a", one), ("b", other)):
        (tmp_path / f"{name}.xml").write_text(muse_xml(patient, 61))
    with pytest.raises(InputError, match="may be one person"):
        list_source(settings_of(tmp_path))
    assert len(list_source(settings_of(tmp_path, patients="none")).entries) == 2

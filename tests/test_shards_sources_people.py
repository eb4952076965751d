from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np

from shards.build.run import build_shards
from shards.settings import ShardsSettings
from shards.sources.kinds import list_source

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

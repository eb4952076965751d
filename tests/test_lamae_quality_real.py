"""The checks on real recordings with known faults, and on the many without."""

import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lamae.ecg.leads import LEADS
from lamae.ecg.record import Record
from lamae.quality.examine import examine
from lamae.quality.settings import QualitySettings
from lamae.readers.wfdb.record_files import read_wfdb

CINC = "challenge2021/training/chapman_ningbo"
WRONG_GAIN = "bad_inputs/challenge2020_early_wrong_gain"
KNOWN = {
    f"{CINC}/cinc2021_train/JS11438": ("flat_lead", "V1, V2, V3, V4, V5, V6 constant"),
    f"{CINC}/cinc2021_test12/JS20004": ("flat_lead", "V2, V4, V6 constant"),
    "cpsc2018/A0055": ("constant_run", "V6 3.25 s"),
    "cpsc2018/A0061": ("implausible_amplitude", "V6 11.8 mV"),
    "brugada_huca/files/267630/267630": ("constant_run", "aVF 6.12 s"),
    "brugada_huca/files/1230482/1230482": ("constant_run", "V1 3.58 s"),
    "brugada_huca/files/903802/903802": ("constant_run", "I 3.36 s"),
    "brugada_huca/files/1176675/1176675": ("limb_leads_inconsistent", "0.619 mV"),
    f"{WRONG_GAIN}/HR00001": ("implausible_gain", "3.13 mV"),
    f"{WRONG_GAIN}/HR00003": ("implausible_gain", "4.34 mV"),
    f"{WRONG_GAIN}/HR20715": ("implausible_gain", "6.53 mV"),
    f"{WRONG_GAIN}/S0002": ("implausible_gain", "0.000661 mV"),
    "bad_inputs/reduced_leads/two_leads/HR06001": ("missing_leads", "2 leads, without V1"),
    "bad_inputs/reduced_leads/six_leads/HR06004": ("missing_leads", "without V1, V2"),
}
PTBXL = {
    5016: ("baseline_offset", "V6 -1.82 mV"),
    5353: ("baseline_offset", "II 1.68 mV"),
    10381: ("implausible_amplitude", "V5 12.7 mV"),
    10802: ("implausible_amplitude", "V3 16.3 mV"),
    21601: ("limb_leads_inconsistent", "4.34 mV"),
    20045: ("constant_run", "V6 9.27 s"),
}
PTBXL_SAMPLES = 1000
BLOCK = 1000


@pytest.mark.parametrize("path", KNOWN)
def test_a_known_fault_is_found_with_its_leads_and_values(shared_data: Path, path: str) -> None:
    reason, text = KNOWN[path]
    verdict = examine(read_wfdb(shared_data / path), QualitySettings())
    assert text in dict(zip(verdict.flags, verdict.notes, strict=True))[reason]


@pytest.mark.parametrize("name", ["HR00001", "HR00003", "HR20715"])
def test_the_documented_gain_makes_a_recording_plausible(shared_data: Path, name: str) -> None:
    documented = {"implausible_gain": {"policy": "repair", "expected_per_mv": 1000}}
    record = read_wfdb(shared_data / WRONG_GAIN / name)
    verdict = examine(record, QualitySettings.model_validate(documented))
    assert verdict.flags == ("implausible_gain",)
    assert examine(verdict.record, QualitySettings()).flags == ()


def test_intact_recordings_of_other_sources_are_rarely_found(shared_data: Path) -> None:
    for source, most in {"cpsc2018": 2, "challenge2021": 3, "brugada_huca": 7}.items():
        headers = [h for h in (shared_data / source).rglob("*.hea") if "snomed" not in str(h)]
        verdicts = [examine(read_wfdb(header), QualitySettings()) for header in headers]
        found = Counter(bool(verdict.flags) for verdict in verdicts)
        assert found[True] <= most < 0.05 * found[False], source


@pytest.mark.parametrize("numbers", [(5016, 5353), (10381, 10802), (20045,), (21601,)])
def test_known_faults_of_ptbxl_are_found_and_little_else(
    shared_data: Path, numbers: tuple[int, ...]
) -> None:
    records = ptbxl_block(shared_data / "ptbxl100", holding=numbers[0])
    verdicts = {number: examine(record, QualitySettings()) for number, record in records.items()}
    for number in numbers:
        reason, text = PTBXL[number]
        flags, notes = verdicts[number].flags, verdicts[number].notes
        assert text in dict(zip(flags, notes, strict=True))[reason]
    assert sum(bool(verdict.flags) for verdict in verdicts.values()) <= 0.02 * len(verdicts)


def ptbxl_block(folder: Path, *, holding: int) -> dict[int, Record]:
    """Unpack the block of PTB-XL that holds a recording; return its recordings by number."""
    if not folder.is_dir():
        pytest.skip("needs PTB-XL in ../shared/data/ptbxl100, which is not part of the code")
    lines = (folder / "labels.csv").read_text().splitlines()
    column = lines[0].split(",").index("ecg_id")
    numbers = [int(line.split(",")[column]) for line in lines[1:]]
    block = numbers.index(holding) // BLOCK
    members = numbers[block * BLOCK : (block + 1) * BLOCK]
    packed = (folder / f"block_{block:02d}.xz").read_bytes()
    unpack = runpy.run_path(str(folder / "ecgpack.py"))["unpack"]
    signals = unpack(packed, len(members), PTBXL_SAMPLES)
    return {
        number: Record(
            str(number),
            np.ascontiguousarray(signal.T.astype(np.int16)),
            LEADS,
            100,
            (1000.0,) * len(LEADS),
            (0,) * len(LEADS),
        )
        for number, signal in zip(members, signals, strict=True)
    }

import numpy as np
import pytest

from lamae.ecg.leads import (
    LEAD_GROUPS,
    LEADS,
    canonical_lead,
    derive_limb_lead,
    find_leads,
    known_lead,
    lead_number,
)
from lamae.errors import InputError

LIMB_LEADS = LEAD_GROUPS["limb"]


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize(
    "pattern", ["{}", " {} ", "Lead {}", "ecg_{}", "MDC_ECG_LEAD_{}", "ECG Lead {}"]
)
def test_a_lead_is_known_in_any_case_and_with_a_prefix(lead: str, pattern: str) -> None:
    for name in (lead, lead.lower(), lead.upper()):
        assert canonical_lead(pattern.format(name)) == lead


def test_the_limb_leads_of_einthoven_are_known_as_derivations() -> None:
    assert [canonical_lead(name) for name in ("DI", "Lead DII", "diii")] == ["I", "II", "III"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "V7",
        "VX",
        "lead",
        "IIII",
        "MLII",
        "aV",
        "ecg",
        "-aVR",
        "\N{MINUS SIGN}aVR",
        "Lead -aVR",
        "ECG1",
        "C1",
    ],
)
def test_another_name_is_an_error_that_names_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match="The nearest is"):
        canonical_lead(name)


def test_canonical_order_is_that_of_the_standard() -> None:
    assert sorted(["V6", "aVF", "I", "aVL"], key=lead_number) == ["I", "aVL", "aVF", "V6"]


@pytest.mark.parametrize(
    "known", [("I", "II"), ("aVL", "III"), ("V1", "aVR", "aVF"), ("II", "aVL")]
)
def test_any_two_limb_leads_give_the_others(known: tuple[str, ...]) -> None:
    # Potentials of the limbs and Einthoven's and Goldberger's definitions, not their algebra.
    right, left, foot, chest = np.random.default_rng(0).normal(size=(4, 50))
    central = (right + left + foot) / 3
    potentials = {
        "I": left - right,
        "II": foot - right,
        "III": foot - left,
        "aVR": right - (left + foot) / 2,
        "aVL": left - (right + foot) / 2,
        "aVF": foot - (right + left) / 2,
        "V1": chest - central,
    }
    signal = np.stack([potentials[lead] for lead in known])
    for wanted in LIMB_LEADS:
        found = derive_limb_lead(wanted, signal, known)
        assert found is not None
        np.testing.assert_allclose(found, potentials[wanted], atol=1e-12)


def test_a_lead_that_is_not_determined_is_not_made_up() -> None:
    signal = np.ones((2, 5))
    assert derive_limb_lead("III", signal, ("I", "V1")) is None
    assert derive_limb_lead("V1", signal, ("I", "II")) is None


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("EKG I", "I"), ("ECG Lead-I", "I"), ("I-REF", "I"), ("ECG II-Ref", "II"),
        ("V1 (mV)", "V1"), ("II [µV]", "II"), ("Lead I (Einthoven)", "I"), ("ECG.aVL", "aVL"),
        ("MDC_ECG_ELEC_POTL_V1", "V1"), ("D3", "III"), ("Ableitung II", "II"),
        ("Dérivation III", "III"), ("derivação DI", "I"), ("отведение II", "II"), ("Ⅱ", "II"),
        ("EKG-V3", "V3"), ("lead-avr", "aVR"),
    ],
)  # fmt: skip
def test_words_before_and_behind_a_name_are_passed_over(name: str, lead: str) -> None:
    assert known_lead(name) == lead


@pytest.mark.parametrize(
    "name", ["lead avr-", "ECG", "V", "I" * 90, "MCL1", "ECG I-II", "lead-", "Lead 1"]
)
def test_no_lead_is_guessed(name: str) -> None:
    assert known_lead(name) is None


def test_a_modified_limb_lead_stands_in_only_where_its_own_is_absent() -> None:
    alone = find_leads(["MLII", "V5"])
    assert alone.rows == {"II": 0, "V5": 1} and "MLII, a modified" in alone.notes[0]
    beside = find_leads(["MLII", "II", "V5"])
    assert beside.rows == {"II": 1, "V5": 2} and beside.dropped == ("MLII",) and not beside.notes


def test_the_words_of_a_user_go_before_all_others() -> None:
    found = find_leads(["ECG1", "II", "resp"], {" ecg1": "lead II", "II": "v1"})
    assert found.rows == {"II": 0, "V1": 1} and found.dropped == ("resp",)
    with pytest.raises(InputError, match="one of I, II"):
        find_leads(["ECG1"], {"ECG1": "second"})
    with pytest.raises(InputError, match="II twice, as 'II' and 'ecg ii'"):
        find_leads(["II", "ecg ii"])


def test_thousands_of_other_columns_need_no_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difflib.get_close_matches", None)
    names = [f"column {number}" for number in range(32_000)]
    assert find_leads([*names, "V1"]).rows == {"V1": 32_000}

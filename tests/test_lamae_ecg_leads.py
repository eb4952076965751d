import numpy as np
import pytest

from lamae.ecg.leads import LEAD_GROUPS, LEADS, canonical_lead, derive_limb_lead, lead_number
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
    "name", ["", "V7", "VX", "lead", "IIII", "MLII", "aV", "ecg", "-aVR", "lead-I", "Lead -aVR"]
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

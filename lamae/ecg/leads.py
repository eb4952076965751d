"""The twelve standard leads: names, order, groups, and the algebra of the limb leads."""

import difflib
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from lamae.errors import InputError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""All leads in the canonical order, which is the order of AHA/ACC/HRS recommendations."""

INDEPENDENT_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The eight leads that no other lead determines."""

LEAD_GROUPS = MappingProxyType(
    {
        "limb": ("I", "II", "III", "aVR", "aVL", "aVF"),
        "precordial": ("V1", "V2", "V3", "V4", "V5", "V6"),
        "V1-V3": ("V1", "V2", "V3"),
        "lateral": ("I", "aVL", "V5", "V6"),
        "inferior": ("II", "III", "aVF"),
    }
)

_FROM_I_AND_II = MappingProxyType(
    {
        "I": (1.0, 0.0),
        "II": (0.0, 1.0),
        "III": (-1.0, 1.0),
        "aVR": (-0.5, -0.5),
        "aVL": (1.0, -0.5),
        "aVF": (-0.5, 1.0),
    }
)
"""Einthoven's law (III = II - I) and Goldberger's augmented leads, as weights of (I, II)."""

_PREFIXES = ("lead", "ecg", "mdc_ecg_lead")
_BY_KEY = {lead.lower(): lead for lead in LEADS} | {"di": "I", "dii": "II", "diii": "III"}
"""Names in lower case; DI, DII and DIII, for derivation, are in use in Brazil."""


def canonical_lead(name: str) -> str:
    """Return the canonical spelling of a lead name in any case, with or without prefixes.

    Raises InputError for a name that is none of the twelve standard leads.
    """
    key = name.strip().lower()
    while prefix := next((p for p in _PREFIXES if key.startswith(p)), ""):
        key = key.removeprefix(prefix).strip(" _")  # no hyphen: "-aVR" is aVR upside down
    if key in _BY_KEY:
        return _BY_KEY[key]
    nearest = difflib.get_close_matches(key, _BY_KEY, n=1, cutoff=0.0)[0]
    raise InputError(
        "lead name",
        value=repr(name),
        expected=f"one of {', '.join(LEADS)} in any case",
        remedy=f"The nearest is {_BY_KEY[nearest]}; rename the lead or leave it out.",
    )


def lead_number(lead: str) -> int:
    """Return the place of a canonical lead name in `LEADS`."""
    return LEADS.index(lead)


def derive_limb_lead(wanted: str, signal: np.ndarray, leads: Sequence[str]) -> np.ndarray | None:
    """Compute a limb lead from two others, or return None where fewer than two are known.

    Args:
        wanted: canonical name of the lead to compute.
        signal: (leads, samples), any unit that is the same for all leads.
        leads: canonical names of the rows of `signal`.

    Any two limb leads span the frontal plane, so two of them give the other four exactly.
    """
    known = [i for i, lead in enumerate(leads) if lead in _FROM_I_AND_II][:2]
    if wanted not in _FROM_I_AND_II or len(known) < 2:
        return None
    basis = np.array([_FROM_I_AND_II[leads[i]] for i in known])
    weights = np.array(_FROM_I_AND_II[wanted]) @ np.linalg.inv(basis)
    return (weights.astype(signal.dtype)[:, None] * signal[known]).sum(axis=0)


def select_leads(
    wanted: Sequence[str], signal: np.ndarray, leads: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the wanted leads as rows, (wanted, samples), and which there are: bool (wanted,).

    Args:
        wanted: canonical names.
        signal: (leads, samples), any unit that is the same for all leads.
        leads: canonical names of the rows of `signal`.

    A limb lead that is not among `leads` is computed from two that are; any other one that is not
    is a row of zeros.
    """
    rows = {lead: signal[i] for i, lead in enumerate(leads)}
    found = [
        rows[lead] if lead in rows else derive_limb_lead(lead, signal, leads) for lead in wanted
    ]
    present = np.array([row is not None for row in found])
    empty = np.zeros(signal.shape[-1], dtype=signal.dtype)
    return np.stack([empty if row is None else row for row in found]), present

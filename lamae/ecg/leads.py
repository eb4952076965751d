"""The twelve standard leads: names, order, groups, and the algebra of the limb leads."""

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

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

_WORDS = (
    "mdc_ecg_lead", "mdc_ecg_elec_potl", "electrocardiogram", "elektrokardiogramm", "derivation",
    "derivacion", "derivacao", "derivazione", "derivatie", "ableitung", "afleiding",
    "odprowadzenie", "avledning", "отведение", "kanal", "channel", "signal", "lead", "abl", "ecg",
    "ekg",
)  # fmt: skip
"""Words that stand before the name of a lead, in lower case and without accents."""
_SEPARATORS = " _.:"
_BEFORE = re.compile(rf"(?:{'|'.join(_WORDS)})[{re.escape(_SEPARATORS)}]*(?:(?<! )- *)?")
"""A word before a name; no hyphen after a blank: "Lead -aVR" is aVR upside down."""
_BEHIND = re.compile(
    r"[ _]*(?:[-_ ]ref|[(\[/] *(?:[munμ]?v|(?:milli|micro|nano)?volts?|einthoven|goldberger|wilson)"
    r" *[)\]]?)$"
)
"""A reference, a unit in brackets, or the inventor of a lead, behind its name."""
_BY_KEY = {lead.lower(): lead for lead in LEADS} | {
    "di": "I",
    "dii": "II",
    "diii": "III",
    "d1": "I",
    "d2": "II",
    "d3": "III",
}
"""Names in lower case; D for derivation, with a Roman or Arabic number, is in use in Brazil."""
_MODIFIED = {"mli": "I", "mlii": "II", "mliii": "III"}
_LONGEST_NAME = 80


class RepeatedLeadError(InputError):
    """Two signals of a file are the same lead; `value` names them."""

    def __init__(self, lead: str, first: str, second: str) -> None:
        """Name the lead and its two signals."""
        self.value = f"{lead} twice, as {first!r} and {second!r}"
        expected, remedy = "each lead once", "Say which one is which by leads_as=."
        super().__init__("leads", value=self.value, expected=expected, remedy=remedy)


class FoundLeads(NamedTuple):
    """The standard leads among the signals of a file."""

    rows: dict[str, int]
    """Place of each lead among the signals, in canonical order of the leads."""
    dropped: tuple[str, ...]
    """Names of the other signals."""
    notes: tuple[str, ...]
    """A sentence for each lead that is not quite the one of its name."""


def known_lead(name: str) -> str | None:
    """Return the canonical spelling of a lead name, or None of another name.

    Any case; words before it (`ECG Lead-I`, `EKG I`, `MDC_ECG_LEAD_AVR`) and a reference or unit
    behind it (`I-REF`, `V1 (mV)`) are passed over.
    """
    if len(name) > _LONGEST_NAME:
        return None
    plain = unicodedata.normalize("NFKD", name.strip().lower())
    key = "".join(letter for letter in plain if not unicodedata.combining(letter))
    while (stripped := _BEHIND.sub("", key)) != key:
        key = stripped
    while match := _BEFORE.match(key):
        key = key[match.end() :]
    return _BY_KEY.get(key.strip(_SEPARATORS))


def canonical_lead(name: str) -> str:
    """Return the canonical spelling of a lead name as `known_lead` does.

    Raises InputError for a name that is none of the twelve standard leads.
    """
    if found := known_lead(name):
        return found
    key = name.strip().lower()[:_LONGEST_NAME]
    nearest = difflib.get_close_matches(key, _BY_KEY, n=1, cutoff=0.0)[0]
    raise InputError(
        "lead name",
        value=repr(name[:_LONGEST_NAME]),
        expected=f"one of {', '.join(LEADS)} in any case",
        remedy=f"The nearest is {_BY_KEY[nearest]}; rename the lead or leave it out.",
    )


def find_leads(names: Sequence[str], leads_as: Mapping[str, str] | None = None) -> FoundLeads:
    """Find the standard leads among the names of a file's signals.

    `leads_as` maps names, in any case, to standard leads, and goes before everything else:
    `{"ECG1": "II"}`. The modified limb leads MLI, MLII and MLIII of Holter recorders stand for the
    lead that they resemble where the file does not have it, and a note says so. Raises InputError
    for a lead that two signals are, and for a value of `leads_as` that is no standard lead.
    """
    mapped = {key.strip().casefold(): canonical_lead(to) for key, to in (leads_as or {}).items()}
    found: dict[str, int] = {}
    modified: dict[str, int] = {}
    for row, name in enumerate(names):
        key = name.strip().casefold()
        lead = mapped.get(key) or known_lead(name)
        if lead is None:
            if instead := _MODIFIED.get(_BEFORE.sub("", key)):
                modified.setdefault(instead, row)
        elif lead in found:
            raise RepeatedLeadError(lead, names[found[lead]], name)
        else:
            found[lead] = row
    stand_in = {lead: row for lead, row in modified.items() if lead not in found}
    rows = dict(sorted((found | stand_in).items(), key=lambda item: lead_number(item[0])))
    used = set(rows.values())
    return FoundLeads(
        rows,
        tuple(name for row, name in enumerate(names) if row not in used),
        tuple(
            f"Lead {lead} is {names[row]}, a modified limb lead." for lead, row in stand_in.items()
        ),
    )


def lead_number(lead: str) -> int:
    """Return the place of a canonical lead name in `LEADS`."""
    return LEADS.index(lead)


def leads_given_by(leads: Sequence[str]) -> tuple[str, ...]:
    """Return the leads that a recording has, or two of its limb leads give, in canonical order."""
    limbs = LEAD_GROUPS["limb"] if sum(lead in _FROM_I_AND_II for lead in leads) >= 2 else ()
    return tuple(lead for lead in LEADS if lead in leads or lead in limbs)


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

"""Checks of what is there: leads without a signal, missing samples, missing leads."""

from dataclasses import replace

import numpy as np

from lamae.ecg.leads import LEADS, leads_given_by
from lamae.ecg.record import Record
from lamae.quality.levels import Finding, Levels, named, with_values
from lamae.quality.settings import QualitySettings


def find_all_leads_flat(record: Record, levels: Levels, _: QualitySettings) -> Finding | None:
    """Find a recording of which no lead has two different values."""
    if levels.moving.any():
        return None
    return Finding("every lead is constant", "a signal in at least one lead")


def find_flat_lead(record: Record, levels: Levels, _: QualitySettings) -> Finding | None:
    """Find leads without two different values, beside leads that have them."""
    moving = levels.moving
    if moving.all() or not moving.any():
        return None
    what = f"{named(record, ~moving)} constant in the whole recording"
    return Finding(what, "a signal", lambda: keep_leads(record, moving), "removed")


def find_missing_samples(
    record: Record, levels: Levels, quality: QualitySettings
) -> Finding | None:
    """Find leads with too many missing samples."""
    largest = quality.missing_samples.max_share
    shares = levels.missing / record.digital.shape[1]
    found = shares > largest
    if not found.any():
        return None
    what = f"missing samples in {with_values(record, found, 100 * shares, '%')}"
    return Finding(what, f"at most {largest:.1%} of a lead")


def find_missing_leads(record: Record, _: Levels, quality: QualitySettings) -> Finding | None:
    """Find a recording of too few leads; a limb lead that others give is not missed."""
    smallest, given = quality.missing_leads.min_number, leads_given_by(record.leads)
    if len(given) >= smallest:
        return None
    absent = ", ".join(lead for lead in LEADS if lead not in given)
    return Finding(f"{len(record.leads)} leads, without {absent}", f"at least {smallest}")


def keep_leads(record: Record, kept: np.ndarray) -> Record:
    """Return the recording without the leads where `kept`, bool (leads,), is False."""
    rows = np.flatnonzero(kept)
    return replace(
        record,
        digital=record.digital[rows],
        leads=tuple(record.leads[row] for row in rows),
        gain=tuple(record.gain[row] for row in rows),
        baseline=tuple(record.baseline[row] for row in rows),
    )

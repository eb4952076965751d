"""One recording, examined by every check, and what the settings have done with it."""

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

from lamae.ecg.record import Record
from lamae.errors import RecordError
from lamae.quality.amplitude import (
    find_baseline_offset,
    find_implausible_amplitude,
    find_implausible_gain,
)
from lamae.quality.flatline_and_clipping import find_clipped, find_constant_run
from lamae.quality.levels import Finding, Levels, measure
from lamae.quality.limb_leads import find_leads_swapped, find_limb_leads_inconsistent
from lamae.quality.missing_leads import (
    find_all_leads_flat,
    find_flat_lead,
    find_missing_leads,
    find_missing_samples,
)
from lamae.quality.settings import Check, QualitySettings

CHECKS: MappingProxyType[str, Callable[[Record, Levels, QualitySettings], Finding | None]] = (
    MappingProxyType(
        {
            "constant_run": find_constant_run,
            "all_leads_flat": find_all_leads_flat,
            "flat_lead": find_flat_lead,
            "implausible_gain": find_implausible_gain,
            "clipped": find_clipped,
            "implausible_amplitude": find_implausible_amplitude,
            "baseline_offset": find_baseline_offset,
            "leads_swapped": find_leads_swapped,
            "limb_leads_inconsistent": find_limb_leads_inconsistent,
            "missing_samples": find_missing_samples,
            "missing_leads": find_missing_leads,
        }
    )
)
"""The check of each reason, in the order in which they are made."""

REASONS: tuple[str, ...] = tuple(CHECKS)
"""Every reason for which a recording is rejected or flagged, also the keys of the settings."""


class Verdict(NamedTuple):
    """A recording that may go into a shard."""

    record: Record
    """The recording, as repaired; the very one that was examined where nothing was."""
    flags: tuple[str, ...]
    """Reasons that were found, repaired or not."""
    notes: tuple[str, ...]
    """For each flag a sentence: what, in which leads, the values, and what was done."""


def examine(record: Record, quality: QualitySettings) -> Verdict:
    """Make every check; raises RecordError with one of `REASONS` for one whose policy is reject."""
    flags: list[str] = []
    notes: list[str] = []
    levels = measure(record)
    for reason, find in CHECKS.items():
        settings: Check = getattr(quality, reason)
        if settings.policy == "ignore":
            continue
        if reason == "limb_leads_inconsistent" and "leads_swapped" in flags:
            continue  # another order explains it
        finding = find(record, levels, quality)
        if finding is None:
            continue
        if settings.policy == "reject":
            raise RecordError(
                f"recording {record.name}",
                reason=reason,
                value=finding.what,
                expected=finding.expected,
                remedy=f"Leave it out, or set {reason}.policy to flag.",
            )
        done = "kept as it is"
        if settings.policy == "repair" and finding.repaired is not None:
            record = finding.repaired()
            levels = measure(record)
            done = finding.done
        flags.append(reason)
        notes.append(f"{finding.what}; {done}.")
    return Verdict(record, tuple(flags), tuple(notes))

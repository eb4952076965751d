"""For each check, what is done with a recording that it finds, and where it begins to find."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from lamae.config import Settings

Policy = Literal["reject", "repair", "flag", "ignore"]
"""Leave the recording out; change it and say so; keep it and say so; do not look."""

NO_REPAIR = "nothing repairs this: choose reject, flag or ignore"


class Check(Settings):
    """Settings that all checks have."""

    repairable: ClassVar[bool] = False
    """True where a repair exists."""

    policy: Policy = "flag"
    """Treatment of a recording that the check finds."""

    @model_validator(mode="after")
    def _repair_exists(self) -> "Check":
        if self.policy == "repair" and not self.repairable:
            raise ValueError(NO_REPAIR)
        return self


class ConstantRun(Check):
    """A lead stands still for a while, as where an electrode is off or a recording is padded."""

    renamed: ClassVar[Mapping[str, str]] = {"longest_s": "max_s"}

    repairable: ClassVar[bool] = True
    """The samples can be marked as missing."""

    policy: Policy = "flag"
    """repair makes these samples missing."""
    max_s: float = Field(1.0, gt=0)
    """Seconds a lead may keep one value; intact leads of PTB-XL at 100 Hz keep one 0.43 s."""


class AllLeadsFlat(Check):
    """No lead has two different values."""

    policy: Policy = "reject"
    """Such a recording holds nothing; no repair."""


class FlatLead(Check):
    """Some leads, not all, have a single value or none from the first to the last sample."""

    repairable: ClassVar[bool] = True
    """The row can be removed."""

    policy: Policy = "repair"
    """repair removes the row, so that the lead counts as missing."""


class Clipped(Check):
    """A lead jumps to its own largest or smallest value and stays there, or is at 16 bits' end."""

    renamed: ClassVar[Mapping[str, str]] = {
        "plateau_samples": "min_plateau_samples",
        "smallest_jump_mv": "min_jump_mv",
        "smallest_number": "min_samples",
    }

    min_plateau_samples: int = Field(3, ge=2)
    """Consecutive samples at the extreme value that make a plateau."""
    min_jump_mv: float = Field(0.05, gt=0)
    """A plateau is entered or left by a larger step than this; a rounded peak is not; mV."""
    min_samples: int = Field(6, ge=2)
    """Samples on plateaus of a lead from which on it is clipped; a peak has a single one."""


class ImplausibleGain(Check):
    """The amplitude is no heart's, or the gain is not the one that the source documents.

    The amplitude is the range within a second, median over seconds and then over leads; the limits
    are for twelve leads, and of V1 to V6 alone one recording in forty is above. It cannot find
    every wrong gain: factors near 5 leave some recordings within the range of other hearts, and
    the step between the integers only tells that they were scaled once, not to which unit. Where
    the gain of a source is known, `expected_per_mv` decides.
    """

    renamed: ClassVar[Mapping[str, str]] = {"smallest_mv": "min_mv", "largest_mv": "max_mv"}

    repairable: ClassVar[bool] = True
    """The documented gain can be put in, where it is given."""

    policy: Policy = "flag"
    """repair puts `expected_per_mv` in the place of another gain, and needs it."""
    min_mv: float = Field(0.25, ge=0)
    """Least amplitude; of 19,602 recordings of PTB-XL none is below, 77 % once 4.88x too small."""
    max_mv: float = Field(3.0, gt=0)
    """Largest amplitude; of these 11 are above, 96 % once five times too large."""
    expected_per_mv: float | None = Field(None, gt=0)
    """Integer units per mV that the source documents; null where it documents none."""

    @model_validator(mode="after")
    def _repair_is_known(self) -> "ImplausibleGain":
        if self.policy == "repair" and self.expected_per_mv is None:
            raise ValueError("a repair needs expected_per_mv, the gain that the source documents")
        return self


class ImplausibleAmplitude(Check):
    """A lead leaves its mean further than a heart takes it, as a spike does."""

    renamed: ClassVar[Mapping[str, str]] = {"largest_mv": "max_mv"}

    max_mv: float = Field(10.0, gt=0)
    """Largest distance from the mean of the lead in mV."""


class BaselineOffset(Check):
    """The mean of a lead is not near 0 mV."""

    renamed: ClassVar[Mapping[str, str]] = {"largest_mv": "max_mv"}

    max_mv: float = Field(0.5, gt=0)
    """Largest mean of a lead in mV, of either sign."""


class LeadsSwapped(Check):
    """The limb leads obey Einthoven's and Goldberger's equations, but in another order.

    Looked for are: any order of the six limb leads, aVR upside down or not; another one of them
    upside down; one of them exchanged for a precordial lead. Swapped electrodes obey the equations
    (LA for RA turns I over and exchanges II for III, aVR for aVL), and cannot be found by them; nor
    can an exchange among V1 to V6. Where two arrangements fit, as when I is upside down, both are
    named and nothing is repaired.
    """

    renamed: ClassVar[Mapping[str, str]] = {"smallest_advantage": "min_advantage"}

    repairable: ClassVar[bool] = True
    """The rows can be put in order."""

    policy: Policy = "flag"
    """repair puts the rows in order with their gain and baseline; a row upside down changes the
    sign of its gain."""
    min_advantage: float = Field(4.0, gt=1)
    """The residual (rms) of any other arrangement must be this many times that of the best."""


class LimbLeadsInconsistent(Check):
    """The limb leads violate Einthoven's and Goldberger's equations, and no order mends it."""

    renamed: ClassVar[Mapping[str, str]] = {
        "typical_mv": "max_typical_mv",
        "peak_mv": "max_peak_mv",
    }

    max_typical_mv: float = Field(0.05, gt=0)
    """Residual in mV that 99 % of the samples must keep; another signal in a lead breaks it."""
    max_peak_mv: float = Field(0.5, gt=0)
    """Residual in mV that every sample must keep; a spike in one lead breaks it."""


class MissingSamples(Check):
    """Many samples of a lead are missing."""

    renamed: ClassVar[Mapping[str, str]] = {"largest_share": "max_share"}

    max_share: float = Field(0.05, ge=0, lt=1)
    """Largest share of the samples of a lead."""


class MissingLeads(Check):
    """Some of the twelve leads are not there, and do not follow from two limb leads that are."""

    renamed: ClassVar[Mapping[str, str]] = {"smallest_number": "min_number"}

    min_number: int = Field(12, ge=1, le=12)
    """Least number of leads, those that follow from others among them."""


class QualitySettings(Settings):
    """All checks, in the order in which they are made: each sees what the earlier repaired."""

    constant_run: ConstantRun = ConstantRun()
    """Leads that stand still for a while."""
    all_leads_flat: AllLeadsFlat = AllLeadsFlat()
    """No signal at all."""
    flat_lead: FlatLead = FlatLead()
    """Leads without a signal."""
    implausible_gain: ImplausibleGain = ImplausibleGain()
    """Amplitude or gain out of the ordinary."""
    clipped: Clipped = Clipped()
    """Saturation."""
    implausible_amplitude: ImplausibleAmplitude = ImplausibleAmplitude()
    """Spikes."""
    baseline_offset: BaselineOffset = BaselineOffset()
    """Leads far from 0 mV."""
    leads_swapped: LeadsSwapped = LeadsSwapped()
    """Limb leads in a wrong order."""
    limb_leads_inconsistent: LimbLeadsInconsistent = LimbLeadsInconsistent()
    """Limb leads that contradict each other; also what counts as a fit for `leads_swapped`."""
    missing_samples: MissingSamples = MissingSamples()
    """Gaps."""
    missing_leads: MissingLeads = MissingLeads()
    """Fewer than twelve leads."""

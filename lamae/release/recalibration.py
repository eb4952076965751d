"""The recalibration of a released classifier: from what model, on whom, and what it changed."""

from collections.abc import Mapping
from typing import Any

from lamae.config import Settings
from lamae.release.output import Measure

RECALIBRATION = "recalibration"
"""Key under `about` of a model's config.json of what was done."""

_MOMENTS = ("before", "after", "after_minus_before")


class Origin(Settings):
    """The model that was recalibrated."""

    name: str
    """Its name."""
    version: str | None
    """Its version, of a release."""
    sha256: str
    """SHA-256 of the checksums of its files."""


class Change(Settings):
    """A measure on held-out patients, without the recalibration and with it."""

    before: Measure
    """Of the model as it was."""
    after: Measure
    """Of a recalibration on other patients."""
    after_minus_before: Measure
    """The difference, on the same resamples of patients."""

    def __str__(self) -> str:
        """Write both, and the interval of the difference."""
        low, high = self.after_minus_before.low, self.after_minus_before.high
        after = self.after.estimate
        return f"{self.before.estimate:.3f} → {after:.3f} [{low:+.3f}, {high:+.3f}]"


class RecalibratedClass(Settings):
    """One class."""

    name: str
    """Its name."""
    method: str
    """Method of its calibration, or the reason why it stayed as it was."""
    patients_with: int
    """Patients with it in some recording."""
    patients_without: int
    """Patients without it in some recording."""
    changes: Mapping[str, Change]
    """By measure; none of a class that stayed as it was."""


class Recalibration(Settings):
    """A recalibration."""

    model: Origin
    """The model that it began with."""
    label_set: str
    """Labels of the recordings."""
    recordings: int
    """Number of recordings."""
    patients: int
    """Number of their patients."""
    classes: tuple[RecalibratedClass, ...]
    """In the order of the probabilities."""


def recalibration_of(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the description of the recalibration in a model's configuration, if there is one."""
    found = config.get("about", {}).get(RECALIBRATION)
    if found is None:
        return None
    classes = [
        {
            "name": name,
            **{key: one[key] for key in ("method", "patients_with", "patients_without")},
            "changes": {
                key: {moment: value[moment] for moment in _MOMENTS}
                for key, value in one.items()
                if isinstance(value, Mapping)
            },
        }
        for name, one in found["classes"].items()
    ]
    return {
        "model": {key: found["model"][key] for key in ("name", "version", "sha256")},
        "label_set": found["settings"]["label_set"],
        "recordings": found["recordings"],
        "patients": found["patients"],
        "classes": classes,
    }

"""The description of a released model: release.json.

Its figures and settings are derived from config.json and results.json, and `check` holds them
against these; name, licence, data and intended use are given by whoever releases it.
"""

import datetime
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field, ValidationError, model_validator

from lamae.config import Settings
from lamae.errors import InputError
from lamae.files import read_json
from lamae.release.licences import Licences
from lamae.release.output import Measure, OutputDescription
from lamae.release.recalibration import Recalibration

RELEASE = "release.json"
"""Describes the model of a folder; a folder without it is no release."""

FORMAT: Literal["lamae-release-1"] = "lamae-release-1"
"""The format that this version writes; it reads all earlier ones."""

Kind = Literal["encoder", "classifier", "detector"]

_FORMAT = re.compile(r"lamae-release-(\d+)")


def _version(text: str) -> str:
    try:
        parsed = Version(text)
    except InvalidVersion as error:
        raise ValueError(str(error)) from None
    if text != str(parsed) or len(parsed.release) != 3:
        raise ValueError(f"version {text} must be three numbers, such as 1.0.0")
    return text


def _specifier(text: str) -> str:
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier as error:
        raise ValueError(str(error)) from None


ReleaseVersion = Annotated[str, AfterValidator(_version)]
"""Three numbers: a version is used once."""
ReleaseName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,94}[A-Za-z0-9]$")]
"""Letters, digits, dots and hyphens, as the Hub allows them: <size>.<corpus>[-<task>]."""


class InputDescription(Settings):
    """A recording as the model reads it; the preprocessor makes it of any recording."""

    leads: tuple[str, ...]
    """Leads in the model's order."""
    min_leads: int = Field(ge=1)
    """Recordings with fewer of these are refused."""
    sampling_rate: int
    """Samples per second after resampling."""
    window_s: float
    """Seconds of a window: longer recordings are several, shorter ones are padded."""
    unit: Literal["mV"] = "mV"
    """Unit before normalisation."""
    band_hz: tuple[float, float] | None
    """Pass band of the filter; null for none."""
    normalisation: str
    """record, lead or none."""


class TrainedOn(Settings):
    """Recordings that a stage of training read."""

    corpus: str
    """Name of the shards."""
    use: Literal["pretraining", "training", "normal recordings"]
    """The stage."""
    recordings: int
    """Number of recordings."""
    patients: int | None = None
    """Number of patients, where it was counted."""
    sha256: str | None = None
    """Checksum of the shards' manifest, where it was at hand."""


class Result(Settings):
    """One measure on recordings of patients who were not trained on."""

    task: str
    """Labels that were predicted."""
    protocol: str
    """Training on top of the model, and the split that was evaluated on."""
    candidate: str
    """The model itself, or a baseline of the same run, such as random weights."""
    metric: str
    """auroc, auprc, ..., as the mean over classes."""
    value: Measure
    """The measure."""
    recordings: int | None
    """Recordings that were evaluated on."""
    patients: int | None
    """Their patients."""


class ReleaseDescription(Settings):
    """All that a release says of its model."""

    format: Literal["lamae-release-1"] = FORMAT
    """Format of the release."""
    kind: Kind
    """Kind of model."""
    name: ReleaseName
    """Its name."""
    version: ReleaseVersion
    """Its version; other content is another version."""
    created: datetime.date
    """Day on which this version was made."""
    changelog: dict[ReleaseVersion, str]
    """A sentence for each version."""
    requires: dict[Literal["lamae"], Annotated[str, AfterValidator(_specifier)]]
    """Versions of LAMAE that read it."""
    license: Licences
    """Licences."""
    input: InputDescription
    """Recordings that it reads."""
    output: OutputDescription
    """Answers that it gives."""
    trained_on: tuple[TrainedOn, ...]
    """Recordings that it was trained on."""
    training: dict[str, str | int | float]
    """Facts of its training: command, parameters, steps, seconds, seed, software."""
    hardware: str = Field(min_length=2)
    """Machine that it was trained on."""
    results: tuple[Result, ...]
    """Measures on recordings of patients who were not trained on."""
    recalibration: Recalibration | None = None
    """Of a classifier that was fitted to a place, whose results are those before it."""
    base_model: str | None = None
    """Released encoder that a classifier or a detector stands on."""
    home: str | None = None
    """Place from which it is opened, such as hf://owner/name; by default its name."""
    citation: str = Field(min_length=2)
    """Way in which to cite it."""
    intended_use: str = Field(min_length=2)
    """Use that it is made for."""
    not_for: tuple[str, ...] = Field(min_length=1)
    """Uses that it is not made for."""
    limits: tuple[str, ...] = Field(min_length=1)
    """Known limits and failures."""

    @model_validator(mode="after")
    def _consistent(self) -> "ReleaseDescription":
        names = [one.name for one in self.output.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"classes {', '.join(names)} must be named once each")
        if (self.kind == "classifier") != bool(names):
            raise ValueError(f"a {self.kind} with {len(names)} classes")
        if (self.kind == "detector") != (self.output.score is not None):
            raise ValueError("a detector has a score, and no other kind has one")
        if self.version not in self.changelog:
            raise ValueError(f"changelog must have a sentence for {self.version}")
        return self


def read_description(folder: Path) -> ReleaseDescription | None:
    """Return the description of a released model; None of a folder that is no release.

    Raises InputError for a format of a later version of LAMAE, one that asks for another version,
    and for what is no description.
    """
    path = folder / RELEASE
    if not path.is_file():
        return None
    content = read_json(path)
    _check_readable(path, content)
    try:
        return ReleaseDescription.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"release {path}",
            value=str(error).replace("\n", " "),
            expected=f"a description of format {FORMAT}",
            remedy="Make the release again, or copy it again.",
        ) from None


def _check_readable(path: Path, content: Mapping[str, Any]) -> None:
    """Raise InputError for a release that this version of LAMAE cannot read, and say which can."""
    match = _FORMAT.fullmatch(str(content.get("format")))
    own = _FORMAT.fullmatch(FORMAT)
    assert own
    needed = str(dict(content.get("requires") or {}).get("lamae", ""))
    later = match is not None and int(match[1]) > int(own[1])
    fits = _fits(needed)
    if later or not fits:
        raise InputError(
            f"release {path}",
            value=f"format {content.get('format')}, which needs lamae {needed}",
            expected=f"formats up to {FORMAT}, and a release for this version of lamae",
            remedy="Install a newer lamae." if fits else f"Install lamae{needed}.",
        )


def _fits(needed: str) -> bool:
    """Say whether the installed version is among those needed; a bare checkout is the newest."""
    try:
        return not needed or SpecifierSet(needed).contains(version("lamae"), prereleases=True)
    except (InvalidSpecifier, PackageNotFoundError):
        return True

"""Licences of a released model: of its weights, and of the data that it was made from."""

from typing import Annotated

from packaging.licenses import canonicalize_license_expression
from pydantic import AfterValidator, Field

from lamae.config import Settings

Licence = Annotated[str, AfterValidator(canonicalize_license_expression)]
"""An SPDX expression, such as Apache-2.0 or CC-BY-4.0."""


class DataLicence(Settings):
    """A data set that the model was made from, and its licence."""

    name: str = Field(min_length=2)
    """Its name with its version, such as PTB-XL 1.0.3."""
    license: Licence
    """Its licence, as an SPDX expression."""
    citation: str = Field(min_length=2)
    """The paper that its authors ask to be cited."""
    url: str = ""
    """Its page."""
    hub: str | None = None
    """Its name on the Hub, where it is there."""
    part: str = ""
    """Part that was used, such as folds 1 to 8."""
    credentialed: bool = False
    """True where its recordings are given to registered people alone."""


class Licences(Settings):
    """Licences of the weights and of what they were made from."""

    weights: Licence
    """Licence of all files of the release."""
    data: tuple[DataLicence, ...] = Field(min_length=1)
    """Data sets of pretraining and training."""

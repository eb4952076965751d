"""Settings of recordings that others have packed: names of fields, of tars and of splits."""

from pydantic import Field

from lamae.config import Settings


class FieldSettings(Settings):
    """Fields of a sample's JSON, or columns of a dataset, that its signal needs."""

    signal: str | None = None
    """Column of the signals; of a tar the ending of the members, such as npy. Null takes signal,
    ecg, tracing or so, of a tar the only member that is a recording."""
    sampling_rate: str | None = None
    """Samples per second; null takes sampling_rate, fs or so. `arrays.sampling_rate` goes before
    it."""
    leads: str | None = None
    """Names of the leads in their order; null takes leads, lead_names or so, else `arrays.leads`"""
    unit: str | None = None
    """Unit of the values; null takes unit or units, else `arrays.unit`."""


class DatasetSettings(Settings):
    """The part of a Hugging Face dataset that is read."""

    config: str | None = Field(None, min_length=1)
    """Its configuration; null takes the only or default one."""
    splits: tuple[str, ...] | None = None
    """Its splits; null takes all. Of several, train, validation and test stay what they are."""
    revision: str | None = Field(None, min_length=1)
    """Branch, tag or commit on the Hub; null takes the newest, and a build says which it was."""

"""Settings of `simulate`."""

from pydantic import Field, field_validator

from lamae.config import FolderPath, Settings
from shards.simulator.ecg_classes import CLASSES


class NoiseSettings(Settings):
    """Level of each noise at one electrode, in mV rms for a typical record."""

    white_mv: float = Field(0.004, ge=0)
    """Noise of the amplifier, without colour."""
    muscle_mv: float = Field(0.008, ge=0)
    """Activity of the skeletal muscles, 20 to 150 Hz, in bursts."""
    mains_mv: float = Field(0.003, ge=0)
    """Hum of the mains at 50 or 60 Hz."""
    wander_mv: float = Field(0.03, ge=0)
    """Wander of the baseline with breathing and movement, below 0.5 Hz."""


class SimulateSettings(Settings):
    """Settings of `simulate`."""

    output: FolderPath
    """Folder to write; it must be empty or not exist."""
    records: int = Field(2000, gt=0)
    """Number of records; a patient has one to three."""
    seed: int = Field(0, ge=0)
    """Seed of everything that is drawn."""
    classes: tuple[str, ...] = Field(tuple(CLASSES), min_length=1)
    """Classes of the patients, equally frequent."""
    duration_s: float = Field(10.0, ge=2.5, le=120)
    """Length of a record in seconds."""
    sampling_rate: int = Field(500, gt=0)
    """Samples per second."""
    noise: NoiseSettings = NoiseSettings()
    """Level of each noise."""
    banks: int | None = Field(None, gt=0)
    """Recordings of a bank of beats, and of one of noise, that all are put together from: several
    times as fast. Null draws each recording anew."""
    workers: int = Field(1, gt=0)
    """Processes; they change the speed and nothing else."""

    @field_validator("classes")
    @classmethod
    def _known_and_distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [code for code in classes if code not in CLASSES]
        if unknown or len(set(classes)) < len(classes):
            raise ValueError(f"expected distinct codes out of {', '.join(CLASSES)}")
        return classes

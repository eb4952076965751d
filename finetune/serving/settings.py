"""Settings of the page and its HTTP interface."""

import ipaddress

from pydantic import Field, field_validator, model_validator

from lamae.config import FolderPath, Settings

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""Names of this machine for itself."""


class ServeSettings(Settings):
    """A model, and the place where it answers."""

    model: str
    """Model that answers: a name, a folder, a file model.onnx, or hf://owner/name."""
    detector: str | None = None
    """Model of normal recordings that shows where one deviates: a detector, or an encoder with its
    decoder. By default the model itself, where it can."""
    reference: FolderPath | None = None
    """Recordings among which similar ones are looked for: a folder of recordings or shards."""
    host: str = "127.0.0.1"
    """Address to listen at. Others than this machine are let in with token= only."""
    port: int = Field(8400, ge=0, le=65535)
    """Port to listen at; 0 takes any that is free."""
    token: str | None = Field(None, min_length=16)
    """Secret of at least 16 characters that every request must bring."""
    deadline_s: float = Field(60.0, gt=0, le=3600)
    """Seconds within which a request is answered or given up."""
    max_reference: int = Field(2000, gt=0)
    """Recordings of the reference that are embedded when the page starts."""
    cpu_threads: int | None = Field(None, gt=0)
    """Threads of the model; by default as many as there are cores."""

    @field_validator("token")
    @classmethod
    def _can_be_sent(cls, token: str | None) -> str | None:
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise ValueError("expected ASCII letters, digits and signs without blanks")
        return token

    @model_validator(mode="after")
    def _private_by_default(self) -> "ServeSettings":
        if not is_loopback(self.host) and self.token is None:
            raise ValueError(
                f"host={self.host} lets other machines in: give token=, a secret of 16 characters "
                "or more, or leave host= at 127.0.0.1"
            )
        return self


def is_loopback(host: str) -> bool:
    """Tell an address that only this machine reaches."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

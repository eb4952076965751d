"""Forms of what goes into a model and of what comes out: windows, outputs, answers."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lamae.errors import InputError


class Windows(NamedTuple):
    """Windows of recordings, as the preprocessor leaves them."""

    signal: Float[np.ndarray, "windows l samples"]
    """float32; zeros in an absent lead and behind a short recording."""
    present: Bool[np.ndarray, "windows l"]
    """False for a lead that a recording lacks."""
    samples: Int[np.ndarray, " windows"]
    """Recorded samples of each."""


class Outputs(NamedTuple):
    """Outputs of a model for windows; None of what its kind does not know."""

    logits: Float[np.ndarray, "windows classes"] | None = None
    """Of a classifier, one for each class."""
    scores: Float[np.ndarray, " windows"] | None = None
    """Of a detector, higher where a window is stranger."""
    embedding: Float[np.ndarray, "windows width"] | None = None
    """One vector for each window."""
    lead_weights: Float[np.ndarray, "windows l"] | None = None
    """Importance of each lead, which sums to one."""


class Answer(NamedTuple):
    """Answer of a model for a recording; None of what its kind does not know."""

    name: str
    """Name of the recording."""
    probabilities: Float[np.ndarray, " classes"] | None
    """Of each class, from the mean of the logits over windows."""
    score: float | None
    """Of a detector, over the windows."""
    embedding: Float[np.ndarray, " width"] | None
    """float32, the mean over windows."""
    lead_weights: Float[np.ndarray, " l"] | None
    """Importance of each lead that the model reads, the mean over windows."""
    cautions: tuple[str, ...]
    """Reasons to be careful with all of this, a sentence each."""
    windows: int
    """Number of windows."""
    called: Bool[np.ndarray, " classes"] | None
    """Classes that are called: at or above their thresholds, or the likeliest of a softmax."""
    percentile: float | None = None
    """Share, in percent, of the recordings that the model learnt from that lie nearer to all of
    these; None where it has no distribution of them, and of another pooling than its own."""


class Outcome(NamedTuple):
    """A recording of several, and what was said of it."""

    recording: str
    """Path, key or name."""
    patient: str | None
    """Patient, where one is stated."""
    answer: Answer | None
    """The answer; None of a recording that cannot be used."""
    error: InputError | None = None
    """Reason why it cannot be used."""

    def without_embedding(self) -> "Outcome":
        """Return it without what takes the most memory."""
        answer = self.answer and self.answer._replace(embedding=None)
        return self._replace(answer=answer)

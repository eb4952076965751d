"""The answers of the HTTP interface, as its schema describes them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

NOTICE = (
    "Research software, not a medical device: nothing here is a diagnosis, and no patient may be "
    "treated by it."
)
"""Stands on the page, in every answer and in every report."""

Part = Literal["paper", "leads", "deviation", "similar", "report"]
"""Parts of an answer that take their time, and come where they are asked for."""


class Shown(BaseModel):
    """Base of all answers; every field is described."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Problem(Shown):
    """Reason why a request was not answered."""

    error: str
    """A sentence that names the thing, its value, what was expected and the remedy."""


class Health(Shown):
    """State of the server."""

    status: Literal["starting", "ready"]
    """ready once requests are answered."""


class Range(Shown):
    """A measure with its interval."""

    estimate: float
    """On all recordings of the evaluation."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


class ModelClass(Shown):
    """A class that the model tells."""

    name: str
    """Short name."""
    description: str | None = None
    """The name in words, where the release has it."""
    threshold: float | None
    """Lowest probability, or score of a detector, that is called; null where there is none."""
    sensitivity: Range | None = None
    """At the threshold, where the release has it."""
    specificity: Range | None = None
    """At the threshold, where the release has it."""


class Model(Shown):
    """The model that answers."""

    name: str
    """Its name."""
    kind: str
    """encoder, classifier, detector or onnx."""
    version: str | None
    """Of the release; null of a model that was not released."""
    classes: list[ModelClass]
    """Its classes; none of an encoder."""
    multi_label: bool
    """True where a recording may have several classes."""
    calibration: str | None
    """Relation of probabilities to frequencies, where the release states it."""
    threshold_rule: str | None
    """Rule by which thresholds were chosen, where the release states it."""
    leads: list[str]
    """Leads that it reads."""
    sampling_rate: int
    """Samples per second that it reads."""
    window_s: float
    """Seconds of a window: longer recordings are several, shorter ones are padded."""
    parts: dict[Part, str | None]
    """Parts of an answer that it can give: null, or the reason why not."""
    watcher: str | None
    """Model that shows deviations."""
    reference: int | None
    """Number of recordings among which similar ones are looked for."""
    formats: list[str]
    """Formats of recordings that are read."""
    notice: str = NOTICE
    """The use that this is not made for."""


class Residual(Shown):
    """Distance of limb leads from the values that two of them give (Einthoven, Goldberger)."""

    typical_mv: float
    """99 % of the samples of every lead are nearer."""
    peak_mv: float
    """The largest."""


class ReadRecording(Shown):
    """The recording as it was read."""

    name: str
    """Name of its file."""
    format: str
    """Format that its content tells."""
    leads: list[str]
    """Standard leads."""
    dropped: list[str]
    """Other signals of the file, which are not used."""
    sampling_rate: int
    """Samples per second."""
    duration_s: float
    """Seconds."""
    unit: str = "mV"
    """Unit of all that is shown."""
    resolution_uv: float
    """Microvolts of the coarsest step between two values."""
    amplitude_mv: float | None
    """Range within a second, the median over seconds and leads; null where nothing moves."""
    missing: dict[str, float]
    """Share of missing samples of each lead that has some."""
    einthoven: Residual | None
    """Null with fewer than three limb leads."""
    quality: list[str]
    """Faults of the signals, a sentence each; none where there is none."""
    notes: list[str]
    """Changes and assumptions of the reader."""


class ClassAnswer(Shown):
    """The answer for a class."""

    name: str
    """Short name."""
    probability: float | None
    """Probability; null of a detector."""
    called: bool | None
    """At or above its threshold, or the likeliest; null where there is no threshold."""


class Taken(Shown):
    """Probabilities without some leads."""

    leads: list[str]
    """Leads that were taken away, though others may give them."""
    probabilities: list[float]
    """In the order of the model's classes."""


class Segment(Shown):
    """A stretch of a lead that deviates."""

    lead: str
    """Lead."""
    begin_s: float
    """Seconds from the start of the recording."""
    end_s: float
    """Seconds."""
    deviation: float
    """Largest mean over a field, in the unit of the map."""


class Deviation(Shown):
    """Deviations of a recording from what a model expects."""

    watcher: str
    """The model."""
    unit: str
    """mV, or SD: standard deviations that the model expects."""
    score: float | None
    """Of a detector; higher is stranger."""
    threshold: float | None
    """Lowest score that is called abnormal."""
    by_lead: dict[str, float]
    """Mean deviation of each lead."""
    segments: list[Segment]
    """The largest, at most five."""
    seconds: float
    """Seconds from the start that were looked at."""


class SimilarRecording(Shown):
    """A recording of the reference."""

    name: str
    """Its name there."""
    similarity: float
    """Cosine of the embeddings."""
    labels: list[str]
    """Its labels, where the reference has some."""


class Similar(Shown):
    """The most similar recordings of the reference."""

    recordings: list[SimilarRecording]
    """The nearest first."""
    percentile: float
    """Share, in percent, of the reference's own recordings that are nearer to their nearest one;
    high where the recording is unlike the reference."""
    searched: int
    """Recordings among which they were found."""


class Figures(Shown):
    """Figures as SVG; classes name the colours of the page's style sheet."""

    paper: str | None = None
    """The recording in the clinical layout."""
    deviation: str | None = None
    """The recording as the model reads it, and in red where it deviates."""
    expected: str | None = None
    """The masked autoencoder's expectation of each part that is hidden from it."""


class Answered(Shown):
    """The answer for a recording."""

    model: str
    """Name of the model."""
    version: str | None
    """Of the release."""
    recording: ReadRecording
    """The recording as it was read."""
    classes: list[ClassAnswer]
    """In the order of the model's classes; none of an encoder."""
    score: float | None
    """Of a detector; higher is stranger."""
    windows: int
    """Windows over which the answer is the mean."""
    cautions: list[str]
    """Reasons to be careful with the answer, a sentence each."""
    taken: list[Taken] | None = None
    """Probabilities without some leads, all leads first, where they were asked for."""
    deviation: Deviation | None = None
    """Deviations of the recording, where they were asked for."""
    similar: Similar | None = None
    """The most similar recordings, where they were asked for."""
    figures: Figures = Figures()
    """Figures of the parts that were asked for."""
    report: str | None = None
    """All of the answer as one HTML file, where it was asked for."""
    unavailable: dict[Part, str] = {}
    """Reasons why a part that was asked for is not there."""
    seconds: float
    """Seconds of computing."""
    notice: str = NOTICE
    """The use that this is not made for."""

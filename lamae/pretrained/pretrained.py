"""Models of every kind in use: windows of a recording, one answer for all of them, tables.

A kind says what it makes of windows (`Pretrained.outputs`); all else is the same for every kind.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.files import file_sha256
from lamae.pretrained.answers import Answer, Outcome, Outputs, Windows
from lamae.pretrained.cautions import cautions_of, of_percentile
from lamae.pretrained.inputs import recordings_of
from lamae.pretrained.recordings import Recording, single_record
from lamae.pretrained.reference import unit_vectors
from lamae.pretrained.tables import tidy_table
from lamae.pretrained.windows import PreparedRecording, batches, outputs_of, prepare
from lamae.release.description import ReleaseDescription, read_description
from lamae.release.distribution import TrainingDistribution, open_distribution
from lamae.release.hub import CARD
from lamae.runs.checksums import CHECKSUMS
from lamae.statistics.probabilities import ClassCalibration, probabilities

if TYPE_CHECKING:  # a third of a second
    import pandas as pd

BATCH = 64
"""Windows that are computed at once."""


class Pretrained(ABC):
    """A saved model and what it needs to be used."""

    kind: ClassVar[str]
    """Name of its kind."""
    value: ClassVar[str] = "probability"
    """Name of the number that it gives each class."""

    def __init__(
        self,
        folder: Path,
        *,
        preprocess: Preprocessor,
        classes: tuple[str, ...] = (),
        multi_label: bool = True,
        thresholds: dict[str, float] | None = None,
        min_leads: int = 1,
        calibration: tuple[ClassCalibration, ...] = (),
    ) -> None:
        """Take what every kind has.

        Args:
            folder: of the model, or its file.
            preprocess: from a recording to the array that the model reads.
            classes: in the order of the probabilities; none of an encoder.
            multi_label: True where a recording may have several classes.
            thresholds: lowest probability that is called positive, of the classes that have one.
            min_leads: leads of the preprocessor that a recording must have to be answered.
            calibration: of each class; none where logits are taken as they are.
        """
        self.folder = folder
        self.preprocess = preprocess
        self.classes = classes
        self.multi_label = multi_label
        self.thresholds = thresholds or {}
        self.min_leads = min(min_leads, len(preprocess.leads))
        self.calibration = calibration

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, *, device: str | None) -> "Pretrained":
        """Load a model of this kind; raises InputError where there is none or it is damaged."""

    @abstractmethod
    def outputs(self, windows: Windows, *, pooling: str | None = None) -> Outputs:
        """Return what the model makes of windows; `pooling` is of an encoder's embedding."""

    @cached_property
    def release(self) -> ReleaseDescription | None:
        """The description of a release; None of a model that was not released."""
        return read_description(self.folder) if self.folder.is_dir() else None

    @property
    def name(self) -> str:
        """Name of the release, or of the run, folder or file."""
        of_run = self.folder.name == self.kind
        folder = self.folder.parent if of_run else self.folder
        return self.release.name if self.release else folder.name

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the file, or of the checksums of all files of the folder."""
        of = self.folder if self.folder.is_file() else self.folder / CHECKSUMS
        return file_sha256(of)

    @cached_property
    def distribution(self) -> TrainingDistribution | None:
        """Embeddings of the recordings that it learnt from; None where it has no such file."""
        return open_distribution(self.folder)

    @property
    def deciding(self) -> dict[str, float]:
        """Thresholds where they decide: of one class out of several, the likeliest is called."""
        return self.thresholds if self.multi_label else {}

    @property
    def card(self) -> str | None:
        """Text of the model card; None where there is none."""
        path = self.folder / CARD
        return path.read_text() if path.is_file() else None

    def answer(
        self, record: Record, *, min_leads: int | None = None, pooling: str | None = None
    ) -> Answer:
        """Answer one recording.

        Args:
            record: of any length: a longer one is cut into windows that cover it, of which the mean
                is taken; a shorter one is padded. Cautions say so.
            min_leads: leads of the model that it must have; by default `self.min_leads`.
            pooling: of an encoder's embedding; by default the encoder's own.

        Raises RecordError for a recording that cannot be used.
        """
        recording = Recording(record.name, None, record)
        (found,) = self.answers([recording], min_leads=min_leads, pooling=pooling)
        if isinstance(found, InputError):
            raise found
        return found

    def answers(
        self,
        recordings: Iterable[Recording],
        *,
        min_leads: int | None = None,
        pooling: str | None = None,
    ) -> Iterator[Answer | InputError]:
        """Answer recordings in their order, some at once; an error for each that cannot be used."""
        least = min_leads or self.min_leads
        compute = partial(self.outputs, pooling=pooling)
        prepared = (self._prepared(recording, least) for recording in recordings)
        for some in batches(prepared, windows=BATCH):
            usable = [one for one in some if isinstance(one, PreparedRecording)]
            outputs = iter(outputs_of(usable, compute, at_once=BATCH))
            for one in some:
                if isinstance(one, InputError):
                    yield one
                    continue
                yield self.answer_of(
                    one.recording.name,
                    next(outputs),
                    cautions=cautions_of(*one, self.preprocess),
                    windows=len(one.windows),
                    pooling=pooling,
                )

    def outcomes(self, recordings: Iterable[Recording], **how: Any) -> Iterator[Outcome]:
        """Answer as `answers` does, each beside the recording's name and patient."""
        given, kept = tee(recordings)
        answers = self.answers(given, **how)
        for found, recording in zip(answers, kept, strict=True):
            answer, error = (None, found) if isinstance(found, InputError) else (found, None)
            yield Outcome(recording.name, recording.patient, answer, error)

    def embed(self, x: Any, *, pooling: str | None = None, **how: Any) -> np.ndarray:
        """Embed recordings: float32 (recordings, width), or (width,) of a single one.

        Args:
            x: a file, folder or shards, a Record, an array or data frame, or a list of these.
            pooling: of an encoder; by default its own.
            how: `sampling_rate`, `leads`, `unit` of arrays and data frames.

        Raises InputError for one that cannot be used.
        """
        found = recordings_of(x, **how)
        rows = []
        for answer in self.answers(found.recordings, min_leads=1, pooling=pooling):
            if isinstance(answer, InputError):
                raise answer
            if answer.embedding is None:
                raise self.cannot("embed", "a model with an encoder")
            rows.append(answer.embedding)
        return rows[0] if found.is_single else np.stack(rows)

    def similarity(self, a: Any, b: Any, **how: Any) -> np.ndarray:
        """Return the cosines of embeddings, (recordings of a, recordings of b).

        Each is what `embed` takes, or embeddings: (width,) or (recordings, width). A single
        recording has no axis of its own.
        """
        one, two = (
            x if isinstance(x, np.ndarray) and "sampling_rate" not in how else self.embed(x, **how)
            for x in (a, b)
        )
        return np.asarray(unit_vectors(one) @ unit_vectors(two).T)

    def predict(self, x: Any, *, min_leads: int | None = None, **how: Any) -> "pd.DataFrame":
        """Answer recordings as a tidy table: one row for each recording and class.

        Args:
            x: as `embed` takes it.
            min_leads: leads of the model that a recording must have; by default those of its run.
            how: `sampling_rate`, `leads`, `unit` of arrays and data frames.

        Raises InputError for a single recording that cannot be used; of several, each such has a
        row with its problem.
        """
        if not self.classes:
            raise self.cannot("predict", "a classifier or detector")
        found = recordings_of(x, **how)
        outcomes = list(self.outcomes(found.recordings, min_leads=min_leads))
        if found.is_single and (error := outcomes[0].error):
            raise error
        return tidy_table(outcomes, self.classes, self.deciding, value=self.value).frame()

    def reconstruct(self, x: Any, *, leads: Sequence[str], **how: Any) -> "pd.DataFrame":
        """Draw leads of a recording as a model with a decoder expects them from the others."""
        raise self.cannot("reconstruct", "an encoder with its decoder")

    def score_of(self, scores: Float[np.ndarray, " windows"]) -> float:
        """Return the score of a recording from those of its windows."""
        return float(scores.mean())

    def calls(self, values: Float[np.ndarray, " classes"]) -> Bool[np.ndarray, " classes"]:
        """Return the classes that are called: at or above its threshold, or the likeliest."""
        if not self.multi_label:
            return np.arange(len(values)) == values.argmax()
        return values >= np.array([self.thresholds.get(name, np.inf) for name in self.classes])

    def _prepared(self, recording: Recording, least: int) -> PreparedRecording | InputError:
        """Return the windows of a recording, or why it cannot be used."""
        try:
            prepared = prepare(recording, self.preprocess)
            self.check(single_record(recording), prepared.windows[0], least)
        except InputError as error:
            return error
        return prepared

    def check(self, record: Record, window: Prepared, least: int) -> None:
        """Raise RecordError for a recording that has too few leads."""
        self.preprocess.require_leads(record, window, least)

    def answer_of(
        self,
        name: str,
        found: Outputs,
        *,
        cautions: Sequence[str],
        windows: int,
        pooling: str | None = None,
    ) -> Answer:
        """Return the answer for a recording, of the outputs for its windows or of their mean."""
        said = score = percentile = None
        if found.logits is not None:
            said = probabilities(
                found.logits.astype(np.float64).mean(axis=0),
                multi_label=self.multi_label,
                calibration=self.calibration,
            )
        if found.scores is not None:
            score = self.score_of(found.scores)
        values = said if score is None else np.array([score])
        embedding, weights = _mean(found.embedding), _mean(found.lead_weights)
        if embedding is not None and pooling is None and self.distribution is not None:
            percentile = self.distribution.percentile(embedding)
        return Answer(
            name,
            said,
            score,
            None if embedding is None else embedding.astype(np.float32),
            weights,
            (*cautions, *of_percentile(percentile)),
            windows,
            None if values is None else self.calls(values),
            percentile,
        )

    def cannot(self, verb: str, expected: str) -> InputError:
        """Return the error of a model that lacks what a verb needs."""
        return InputError(
            f"model {self.name}",
            value=f"{self.kind}, which cannot {verb}",
            expected=expected,
            remedy="Open another model.",
        )


def _mean(of_windows: np.ndarray | None) -> np.ndarray | None:
    return None if of_windows is None else of_windows.mean(axis=0, dtype=np.float64)

"""The work behind an answer: read, predict, and the parts that a request asks for."""

import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch

from finetune.serving.answers import (
    Answered,
    ClassAnswer,
    Model,
    ModelClass,
    Part,
    Range,
    Taken,
)
from finetune.serving.deviation import Watcher, can_watch, watch
from finetune.serving.lead_taking import without_leads
from finetune.serving.paper import SECONDS, Drawn, clinical_paper, lead_rows
from finetune.serving.readings import describe
from finetune.serving.report import render_report
from finetune.serving.settings import ServeSettings
from finetune.serving.similar import NamedReference, open_reference
from finetune.serving.upload import Upload, read_upload
from finetune.serving.worker import Deadline
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.pretrained.answers import Answer
from lamae.pretrained.opening import from_pretrained
from lamae.pretrained.pretrained import Pretrained
from lamae.readers.formats import FORMATS

PARTS: tuple[Part, ...] = get_args(Part)


class Examiner(NamedTuple):
    """A model, and what stands beside it to explain its answers."""

    model: Pretrained
    """The model that answers."""
    watcher: Watcher | None
    """The model that shows deviations."""
    reference: NamedReference | None
    """Recordings among which similar ones are looked for."""
    described: Model
    """The model as the interface describes it."""

    def examine(self, upload: Upload, parts: Collection[Part], deadline: Deadline) -> Answered:
        """Answer a request; raises InputError for a recording that cannot be used.

        Raises TimeoutError once the deadline has passed.
        """
        begin = time.monotonic()
        deadline.check()
        reading, title = read_upload(upload)
        record = reading.record
        answer = self.model.answer(record, min_leads=1)
        found = Answered(
            model=self.described.name,
            version=self.described.version,
            recording=describe(reading, title),
            classes=self._classes(answer),
            score=answer.score,
            windows=answer.windows,
            cautions=list(answer.cautions),
            seconds=0.0,
        )
        for part in PARTS:
            if part not in parts:
                continue
            deadline.check()
            reason = self.described.parts[part]
            if reason is None:
                try:
                    self._add(part, found, record, answer, deadline)
                except InputError as error:
                    reason = str(error)
            if reason is not None:
                found.unavailable[part] = reason
        found.seconds = time.monotonic() - begin
        return found

    def _classes(self, answer: Answer) -> list[ClassAnswer]:
        if not self.model.classes:
            return []
        values = answer.probabilities
        score = np.array([np.nan if answer.score is None else answer.score])
        called = self.model.calls(score if values is None else values).tolist()
        shown = [None] if values is None else values.tolist()
        cut = self.model.thresholds
        knows = [not self.model.multi_label or name in cut for name in self.model.classes]
        return [
            ClassAnswer(name=name, probability=value, called=is_called if known else None)
            for name, value, is_called, known in zip(
                self.model.classes, shown, called, knows, strict=True
            )
        ]

    def _add(
        self, part: Part, found: Answered, record: Record, answer: Answer, deadline: Deadline
    ) -> None:
        if part == "paper":
            found.figures.paper = _paper(record)
        elif part == "leads":
            taken = without_leads(self.model, record, check=deadline.check)
            found.taken = [
                Taken(leads=list(one.taken), probabilities=one.probabilities.tolist())
                for one in taken
            ]
        elif part == "deviation" and self.watcher is not None:
            self._watch(self.watcher, found, record)
        elif part == "similar" and self.reference is not None:
            assert answer.embedding is not None, "the reference was embedded by this model"
            found.similar = self.reference.find(answer.embedding)
        elif part == "report":
            found.report = render_report(found, self.described)

    @staticmethod
    def _watch(watcher: Watcher, found: Answered, record: Record) -> None:
        watched = watch(watcher, record)
        found.deviation = watched.deviation
        leads = list(watched.heat.signal_mv)
        label = f"{', '.join(leads)} as {watcher.name} reads them, and in red where they deviate"
        found.figures.deviation = lead_rows(watched.heat, leads, label=label)
        if watched.expected is not None:
            label = f"{', '.join(leads)}, and in blue what {watcher.name} expects of hidden parts"
            found.figures.expected = lead_rows(watched.expected, leads, label=label)


def open_examiner(settings: ServeSettings) -> Examiner:
    """Open the models and the reference of a server; raises InputError where one cannot be."""
    if settings.cpu_threads:
        torch.set_num_threads(settings.cpu_threads)
    model = from_pretrained(settings.model)
    watching = model if settings.detector is None else from_pretrained(settings.detector)
    watcher = watching if isinstance(watching, Watcher) else None
    if settings.detector is not None and not can_watch(watching):
        raise InputError(
            f"detector {settings.detector}",
            value=watching.kind,
            expected="a detector, or an encoder with its decoder",
            remedy="Give one of them, or leave detector= out.",
        )
    reference = None
    if settings.reference is not None:
        most = settings.max_reference
        reference = open_reference(model, settings.reference, max_recordings=most)
    described = describe_model(model, watcher, reference, named=Path(settings.model).name)
    return Examiner(model, watcher, reference, described)


def describe_model(
    model: Pretrained, watcher: Watcher | None, reference: NamedReference | None, *, named: str
) -> Model:
    """Describe a model, with what its release states of it; one without has the name given."""
    output = getattr(model.release, "output", None)
    calibration = getattr(output, "calibration", None)
    return Model(
        name=getattr(model.release, "name", None) or named,
        kind=model.kind,
        version=getattr(model.release, "version", None),
        classes=_model_classes(model, output),
        multi_label=model.multi_label,
        calibration=getattr(calibration, "method", None),
        threshold_rule=getattr(output, "threshold_rule", None),
        leads=list(model.preprocess.leads),
        sampling_rate=model.preprocess.sampling_rate,
        window_s=model.preprocess.duration_s,
        parts=_reasons(model, watcher, reference),
        watcher=None if watcher is None else watcher.name,
        reference=None if reference is None else len(reference.names),
        formats=[form.title for form in FORMATS.values()],
    )


def _model_classes(model: Pretrained, output: object) -> list[ModelClass]:
    described = {one.name: one for one in getattr(output, "classes", ())}
    score = getattr(output, "score", None)
    return [
        ModelClass(
            name=name,
            description=getattr(described.get(name), "description", None),
            threshold=model.thresholds.get(name),
            sensitivity=_range(getattr(described.get(name, score), "sensitivity", None)),
            specificity=_range(getattr(described.get(name, score), "specificity", None)),
        )
        for name in model.classes
    ]


def _range(measure: object) -> Range | None:
    return None if measure is None else Range.model_validate(measure, from_attributes=True)


def _reasons(
    model: Pretrained, watcher: Watcher | None, reference: NamedReference | None
) -> dict[Part, str | None]:
    """Return for each part why this server cannot give it, None where it can."""
    reasons: dict[Part, str | None] = dict.fromkeys(PARTS)
    if not model.classes or model.kind == "detector":
        reasons["leads"] = f"{model.name} is an {model.kind}: it has no probabilities to change."
    if model.kind == "onnx":
        reasons["leads"] = "An ONNX file reads recordings with all of its leads only."
    if watcher is None:
        reasons["deviation"] = (
            "This model expects nothing of a recording. Start the page with detector=, a detector "
            "or an encoder with its decoder, such as lamae-cpu.ptbxl."
        )
    if reference is None:
        reasons["similar"] = "No reference was given. Start the page with reference=FOLDER."
    return reasons


def _paper(record: Record) -> str:
    signal = record.signal_mv()
    traces = {
        lead: signal[i] for i, lead in enumerate(record.leads) if np.isfinite(signal[i]).any()
    }
    shown = min(record.duration_s, SECONDS)
    label = f"Electrocardiogram, {shown:g} s of {', '.join(traces)}"
    return clinical_paper(Drawn(traces, record.sampling_rate), label=label)

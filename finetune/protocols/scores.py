"""One encoder under published protocols: a linear probe for each, and why their numbers differ."""

import re
from typing import Any, NamedTuple

import numpy as np
from accelerate import Accelerator

from finetune.cross_validation.out_of_fold import fold_scores
from finetune.data.audit import audit_leakage, check_copies
from finetune.data.folds import check_folds, patient_folds
from finetune.data.tasks import LabelledRows, make_cohort
from finetune.data.usable import check_unusable
from finetune.encoders.opening import open_encoder
from finetune.protocols.published import Protocol, Rules
from finetune.protocols.reading import ProtocolPreprocessor
from finetune.protocols.settings import ProtocolsSettings
from finetune.settings import FinetuneSettings
from finetune.training.embeddings import EmbeddingCache
from finetune.training.linear_probe import fit_linear_probe
from lamae.errors import InputError
from lamae.statistics.score_intervals import BootstrapScores
from lamae.storage.corpus import Corpus
from lamae.storage.index import Index

PROBE = "probe"
READING = ("through_rate", "first_s", "windows", "padding", "scale")
"""Rules that the preprocessor follows."""
_CPSC_KEY = re.compile(r"(?:.*/)?[AQ](\d{4,5})")
"""Names of CPSC 2018 in the Challenge of 2020, A0001 to A6877."""


class Scored(NamedTuple):
    """Measures of an encoder under some rules."""

    measured: BootstrapScores
    """AUROC and average precision, of the one model `PROBE`."""
    departs: tuple[str, ...]
    """Departures from the rules because the shards lack something."""
    unaudited: str
    """Reason for which leakage from pretraining was not audited; empty where it was."""

    @property
    def auroc(self) -> float:
        """Macro AUROC."""
        return self.measured.models[PROBE].auroc_macro.estimate


class Step(NamedTuple):
    """One rule that was changed on the way from one protocol to another."""

    rule: str
    """Name of the rule."""
    before: str
    """Its value before."""
    after: str
    """Its value after."""
    change: float
    """Change of macro AUROC."""


class _Divided(NamedTuple):
    evaluated: np.ndarray
    """bool (records,)."""
    fold: np.ndarray
    """int (records,): those of one number are scored by one probe."""
    departs: tuple[str, ...]


class ProtocolScorer:
    """An encoder on the recordings of a corpus; equal rules are scored once."""

    def __init__(self, settings: ProtocolsSettings, accelerator: Accelerator) -> None:
        """Open the shards and load the encoder."""
        self._settings, self._accelerator = settings, accelerator
        self.corpus = Corpus(settings.data, **settings.caching)
        self._index = Index(self.corpus.index_path)
        self._opened = open_encoder(settings.encoder)
        self._scored: dict[str, Scored] = {}

    def score(self, rules: Rules) -> Scored:
        """Probe the encoder under some rules; raises InputError where the shards cannot serve."""
        key = rules.model_dump_json()
        if key not in self._scored:
            self._scored[key] = self._probe(rules)
        return self._scored[key]

    def steps(self, first: Rules, other: Rules) -> list[Step]:
        """Change from rules to others, one after the other, and say what each changes."""
        found, now = [], first
        for rule in Rules.model_fields:
            before, after = getattr(now, rule), getattr(other, rule)
            if before == after:
                continue
            earlier, now = self.score(now).auroc, now.model_copy(update={rule: after})
            change = self.score(now).auroc - earlier
            found.append(Step(rule, _short(before), _short(after), change))
        return found

    def _probe(self, rules: Rules) -> Scored:
        settings = self._settings
        task = task_settings(settings, rules)
        classes, part = make_cohort(self.corpus, task, self._index.categories("split").names)
        part, divided = self._divide(part, classes, rules)
        audit = self._audit(part, divided, task)
        embedded = self._cache(rules).embed(self._opened.encoder, part.rows, name=rules.label_set)
        usable = np.isin(part.rows, embedded.rows)
        departs = divided.departs + self._left_out(part, divided, embedded.unusable)
        part = part.where(usable)
        fold, evaluated = divided.fold[usable], divided.evaluated[usable]
        scores = np.empty(part.labels.shape)
        for number in np.unique(fold[evaluated]):
            train, scored = fold != number, (fold == number) & evaluated
            known = part.where(train)
            probe = fit_linear_probe(
                embedded.features[train],
                known.labels,
                known.patients,
                classes=classes,
                multi_label=task.multi_label,
                generator=np.random.default_rng([settings.seed, 0]),
                l2_grid=settings.l2_grid,
            )
            scores[scored] = probe.scores(embedded.features[scored])
        own = part.where(evaluated)
        measured = fold_scores(
            own.labels,
            {PROBE: scores[None, evaluated]},
            fold[None, evaluated],
            own.patients,
            classes=classes,
            generator=np.random.default_rng([settings.seed, 1]),
            resamples=settings.resamples,
        )
        return Scored(measured, departs, audit)

    def _left_out(
        self, part: LabelledRows, divided: _Divided, unusable: dict[str, str]
    ) -> tuple[str, ...]:
        """Say how many recordings are unusable; raises InputError where they are too many."""
        most = self._settings.max_unusable
        for split, own in (("train", ~divided.evaluated), ("evaluation", divided.evaluated)):
            keys = set(self.corpus.keys[part.rows[own]].tolist())
            lost = {key: reason for key, reason in unusable.items() if key in keys}
            check_unusable(split, lost, len(keys), most)
        if not unusable:
            return ()
        return (f"{len(unusable)} of {len(part.rows)} recordings are unusable and left out",)

    def _cache(self, rules: Rules) -> EmbeddingCache:
        own = {name: getattr(rules, name) for name in READING}
        values = self._opened.preprocessor.model_dump() | own
        return EmbeddingCache(
            self.corpus,
            ProtocolPreprocessor.model_validate(values),
            pooling=self._settings.pooling,
            batch_size=self._settings.batch_size,
            accelerator=self._accelerator,
            folder=self._settings.run_dir / "embeddings",
            min_leads=self._settings.min_leads,
            workers=self._settings.data_workers,
        )

    def _audit(
        self,
        part: LabelledRows,
        divided: _Divided,
        settings: FinetuneSettings,
    ) -> str:
        """Return why pretraining was not audited; raises InputError for leakage."""
        train, evaluation = part.rows[~divided.evaluated], part.rows[divided.evaluated]
        found = audit_leakage(
            self.corpus,
            train,
            evaluation,
            settings,
            encoder=settings.encoder,
            split=settings.eval_split,
        )
        pretraining: dict[str, str] = found["pretraining"]
        return pretraining.get("not_audited", "")

    def _divide(
        self, part: LabelledRows, classes: tuple[str, ...], rules: Rules
    ) -> tuple[LabelledRows, _Divided]:
        """Divide recordings as the rules say, and drop those that have no part."""
        division = rules.division
        if division.kind == "cross":
            generator = np.random.default_rng([self._settings.seed, 3])
            fold = patient_folds(
                part.labels, part.patients, folds=division.number, generator=generator
            )
            check_folds(part.labels, fold, classes)
            check_copies(self.corpus, part.rows, fold)
            return part, _Divided(np.ones(len(fold), dtype=bool), fold, ())
        departs: tuple[str, ...] = ()
        if division.kind == "folds":
            own = self._index.numbers("fold")[part.rows]
            chosen = next((f for f in division.evaluation if (own == f).any()), None)
            train, evaluated = np.isin(own, division.train), own == chosen
            if chosen not in (None, division.evaluation[0]):
                departs = (f"fold {chosen} is evaluated: the shards lack {division.evaluation[0]}",)
        else:
            numbers = self._record_numbers(part)
            train, evaluated = numbers <= division.number, numbers > division.number
        if not train.any() or not evaluated.any():
            raise InputError(
                f"shards {self.corpus.location}",
                value=f"{train.sum()} training and {evaluated.sum()} evaluation recordings",
                expected=f"{division}",
                remedy="Build shards of the whole data set, folds and all.",
            )
        kept = train | evaluated
        return part.where(kept), _Divided(evaluated[kept], evaluated[kept].astype(int), departs)

    def _record_numbers(self, part: LabelledRows) -> np.ndarray:
        """Return the numbers in CPSC's names; raises InputError where a key is none of these."""
        keys = self.corpus.keys[part.rows].tolist()
        found = [(key, _CPSC_KEY.fullmatch(key)) for key in keys]
        foreign = [key for key, name in found if name is None]
        if foreign:
            raise InputError(
                f"shards {self.corpus.location}",
                value=f"{len(foreign)} keys that are no names of CPSC 2018, e.g. {foreign[0]}",
                expected="names such as A0001, whose numbers divide the recordings",
                remedy="Build shards of CPSC 2018 alone, with hash_ids=false.",
            )
        return np.array([int(name[1]) for _, name in found if name is not None], dtype=int)


def served(
    scorer: ProtocolScorer, protocols: tuple[Protocol, ...]
) -> tuple[dict[str, Scored], dict[str, str]]:
    """Score all protocols that the shards can serve; return those by name, and why not others."""
    found: dict[str, Scored] = {}
    reasons: dict[str, str] = {}
    for protocol in protocols:
        try:
            found[protocol.name] = scorer.score(protocol.rules)
        except InputError as error:
            reasons[protocol.name] = str(error)
    return found, reasons


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} named"
    return "all" if value is None else str(value)


def task_settings(settings: ProtocolsSettings, rules: Rules) -> FinetuneSettings:
    """Return the settings of the task that rules describe."""
    shared = ("encoder", "data", "pretraining_data", "allow_overlap", "seed")
    values: dict[str, Any] = {name: getattr(settings, name) for name in shared}
    values |= {"label_set": rules.label_set, "classes": rules.classes}
    values |= {"multi_label": not rules.one_class, "require_class": rules.require_class}
    leave_out = {"absent_classes": "leave_out", "several_classes": "leave_out"}
    return FinetuneSettings.model_validate(values | leave_out)

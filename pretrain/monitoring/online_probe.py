"""A linear probe while pretraining runs: what the frozen encoder tells of diagnoses so far."""

import logging
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from lamae.ecg.preprocess import Prepared, Preprocessor
from lamae.errors import InputError
from lamae.model.block_outputs import latents_by_block
from lamae.model.encoder import Encoder
from lamae.model.pooling import pool
from lamae.model.recorded import recorded_parts
from lamae.statistics.metrics import ClassScores, class_scores, defined_classes, macro
from lamae.storage.corpus import Corpus
from lamae.storage.settings import CacheSettings
from pretrain.monitoring.ridge import ridge_scores
from pretrain.settings import ProbeSettings

_log = logging.getLogger(__name__)
_FITTED, _EVALUATED = "train", "val"
_SMALLEST = 2


class _Part(NamedTuple):
    """The recordings of one split, of which this process holds a share in memory."""

    labels: Bool[np.ndarray, "records classes"]
    """Of the usable recordings of all processes."""
    usable: Bool[Tensor, " all"]
    """False for a recording that is damaged or refused by the preprocessor."""
    signal: Float[Tensor, "share l samples"]
    """Of this process; zeros where unusable."""
    present: Bool[Tensor, "share l"]
    """Leads of each; all where unusable."""
    samples: Tensor
    """Recorded samples of each, int64 (share,)."""


class OnlineProbe:
    """The same labelled recordings at every step, divided among the processes.

    Ridge regression on standardised embeddings, pooled over the patches of each lead; fitted on
    the training split, scored on the validation split. The test split is never read. Training is
    the same with and without it: no random number of torch's is drawn, no gradient kept.
    """

    def __init__(
        self,
        settings: ProbeSettings,
        corpus: Corpus,
        preprocessor: Preprocessor,
        *,
        seed: int,
        accelerator: Accelerator,
        cache: CacheSettings | None = None,
    ) -> None:
        """Draw the recordings and read them; `corpus` is where they are if `data` is not given.

        `cache` says where that comes to. Raises InputError where the label set is missing, where no
        class has positive and negative recordings on both sides, and where a patient is on both.
        """
        self._settings = settings
        self._preprocessor = preprocessor
        self._accelerator = accelerator
        if settings.data is not None:
            corpus = Corpus(settings.data, **(cache or CacheSettings()).caching)
        labels = corpus.labels(settings.label_set)
        rows = {
            split: _draw_rows(corpus, labels, split, most=settings.records, seed=seed)
            for split in (_FITTED, _EVALUATED)
        }
        _check_patients(corpus, rows)
        found = sorted({name for row in rows[_FITTED] for name in labels[row] or ()})
        parts = {split: self._read(corpus, labels, rows[split], found) for split in rows}
        scored = np.logical_and.reduce([defined_classes(p.labels) for p in parts.values()])
        self.classes = tuple(n for n, is_scored in zip(found, scored, strict=True) if is_scored)
        """Classes that the means are over, the same at every step."""
        self._check_classes(corpus, parts)
        self._parts = {s: p._replace(labels=p.labels[:, scored]) for s, p in parts.items()}
        self.counts = {split: len(part.labels) for split, part in self._parts.items()}
        """Usable recordings by split."""

    def score(self, encoder: Encoder) -> dict[str, float]:
        """Return macro AUROC and macro average precision, on every process.

        With `probe.layers` those of lower blocks follow, `_block_1` of the lowest. All processes
        must call it. The encoder stays in its mode. Raises InputError for embeddings that are not
        finite.
        """
        was_training = encoder.training
        encoder.eval()
        try:
            with torch.no_grad():
                fitted, evaluated = (
                    self._embed(encoder, self._parts[split]) for split in (_FITTED, _EVALUATED)
                )
        finally:
            encoder.train(was_training)
        scalars: dict[str, float] = {}
        for block in reversed(range(len(fitted))):
            ending = "" if block == len(fitted) - 1 else f"_block_{block + 1}"
            found = self._scores(fitted[block], evaluated[block])
            scalars[f"probe/auroc_macro{ending}"] = float(macro(found.auroc))
            precision = float(macro(found.average_precision))
            scalars[f"probe/average_precision_macro{ending}"] = precision
        return scalars

    def _scores(self, fitted: Tensor, evaluated: Tensor) -> ClassScores:
        """Fit to the features of the training recordings, and score the others by theirs."""
        labels = torch.from_numpy(self._parts[_FITTED].labels).to(fitted.device)
        scores = ridge_scores(fitted, labels, evaluated).cpu().numpy()
        return class_scores(self._parts[_EVALUATED].labels, scores)

    def _read(
        self,
        corpus: Corpus,
        labels: list[tuple[str, ...] | None],
        rows: np.ndarray,
        classes: list[str],
    ) -> _Part:
        """Read this process's share; equally many on each, so that all run the same batches."""
        processes = self._accelerator.num_processes
        share = -(-len(rows) // processes)
        mine = self._accelerator.process_index + processes * np.arange(share)
        prepared = [
            _prepare(corpus, self._preprocessor, int(row)) for row in rows[mine % len(rows)]
        ]
        shape = (len(self._preprocessor.leads), self._preprocessor.samples)
        empty = np.zeros(shape, dtype=np.float32)
        everything = np.ones(shape[0], dtype=bool)
        known = [one is not None for one in prepared]
        usable = self._gather(torch.tensor(known), len(rows)).cpu()
        matrix = [[name in (labels[row] or ()) for name in classes] for row in rows[usable.numpy()]]
        return _Part(
            np.array(matrix, dtype=bool).reshape(-1, len(classes)),
            usable,
            torch.from_numpy(np.stack([empty if p is None else p.signal for p in prepared])),
            torch.from_numpy(np.stack([everything if p is None else p.present for p in prepared])),
            torch.tensor([shape[1] if p is None else p.samples for p in prepared]),
        )

    def _embed(self, encoder: Encoder, part: _Part) -> list[Float[Tensor, "records features"]]:
        """Return embeddings of the usable recordings of all processes, by block or of the last."""
        device, preprocessor = self._accelerator.device, self._preprocessor
        size = encoder.settings.patch_size
        recorded = recorded_parts(
            None if part.present.all() else part.present,
            part.samples,
            patches=preprocessor.samples // size,
            patch_size=size,
        )
        by_batch = []
        for rows in torch.arange(len(part.signal)).split(self._settings.batch_size):
            of_rows = recorded.take(rows).to(device)
            signal = part.signal[rows].to(device)
            with self._accelerator.autocast():
                if self._settings.layers:
                    found = latents_by_block(encoder, signal, preprocessor.leads, recorded=of_rows)
                else:
                    found = [encoder(signal, preprocessor.leads, recorded=of_rows)]
            by_batch.append([pool(x, "lead_mean", of_rows.present).float() for x in found])
        usable = part.usable.to(device)
        return [
            self._gather(torch.cat(features), len(part.usable))[usable]
            for features in zip(*by_batch, strict=True)
        ]

    def _gather(self, mine: Tensor, count: int) -> Tensor:
        """Return the rows of all processes, on the device, in the order of the recordings."""
        found = self._accelerator.gather(mine.to(self._accelerator.device))
        in_turn = rearrange(
            found, "(process row) ... -> (row process) ...", process=self._accelerator.num_processes
        )
        return in_turn[:count]

    def _check_classes(self, corpus: Corpus, parts: dict[str, _Part]) -> None:
        if not self.classes:
            counts = {split: len(part.labels) for split, part in parts.items()}
            raise InputError(
                f"probe on label set {self._settings.label_set!r} of {corpus.location}",
                value=f"no class to tell apart in {counts} usable recordings",
                expected="a class that some recordings of train and of val have, and some lack",
                remedy="Name another probe.label_set, raise probe.records, or set probe.every to "
                "null.",
            )


def _draw_rows(
    corpus: Corpus, labels: list[tuple[str, ...] | None], split: str, *, most: int, seed: int
) -> np.ndarray:
    """Draw one labelled recording of each of `most` patients, or of all where there are fewer."""
    rows = np.array([row for row in corpus.rows(split) if labels[row] is not None], dtype=np.int64)
    if len(rows) < _SMALLEST:
        raise InputError(
            f"probe on split {split!r} of {corpus.location}",
            value=f"{len(rows)} labelled recordings",
            expected=f"at least {_SMALLEST}",
            remedy="Name labelled shards as probe.data, or set probe.every to null.",
        )
    shuffled = np.random.default_rng(seed).permutation(rows)
    _, first = np.unique(corpus.patients[shuffled].astype(str), return_index=True)
    return np.sort(shuffled[np.sort(first)[:most]])


def _check_patients(corpus: Corpus, rows: dict[str, np.ndarray]) -> None:
    fitted, evaluated = (set(corpus.patients[some]) for some in rows.values())
    shared = sorted(fitted & evaluated)
    if shared:
        raise InputError(
            f"probe on {corpus.location}",
            value=f"{len(shared)} patients both in train and in val, e.g. {shared[0]}",
            expected="no patient in both",
            remedy="Build the shards with a split by patient.",
        )


def _prepare(corpus: Corpus, preprocessor: Preprocessor, row: int) -> Prepared | None:
    try:
        return preprocessor(corpus.record(row))
    except InputError as error:
        _log.warning("left out of the probe: %s", error)
        return None

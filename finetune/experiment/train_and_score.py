"""Train every candidate on the same recordings, and score all on the evaluation split."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from finetune.classifiers.classifier import Classifier, build_classifier
from finetune.classifiers.scoring import Scored, score_recordings
from finetune.data.hold_out import HeldOut, draw_hold_out
from finetune.data.tasks import LabelledRows, Task
from finetune.data.usable import SPLITS, UsableTask, check_leads, check_task, usable_task
from finetune.data.windows import loader_options
from finetune.experiment.candidate_results import (
    CandidateResult,
    ExperimentResults,
    facts_of,
    probe_result,
    size_of,
    thresholds_of,
)
from finetune.experiment.candidates import KERNELS, Candidate, Candidates
from finetune.experiment.kernel_baseline import KernelBaseline
from finetune.experiment.probe_features import Features, embed_all, fit_probe
from finetune.experiment.resume import SavedProgress, digest_recordings
from finetune.experiment.resume_training import TrainingProgress
from finetune.networks.heads import EncoderClassifier, LinearHead
from finetune.processes import from_main
from finetune.settings import FinetuneSettings
from finetune.training.batches import check_micro_batches
from finetune.training.embeddings import EmbeddingCache
from finetune.training.fine_tuning import Reached, Training, TrainingData
from finetune.training.linear_probe import LinearProbe
from lamae.batches.dataset import Split
from lamae.storage.corpus import Corpus

Save = Callable[[Classifier, np.ndarray, dict[str, Any]], None]
"""Is given a classifier, the threshold of each class (NaN for none), and facts about it."""


def check_processes(candidates: Candidates, processes: int) -> None:
    """Raise InputError where so many processes cannot share the steps of a candidate."""
    for candidate in candidates.by_name.values():
        if candidate.architecture.mode != "probe":
            check_micro_batches(candidate.training, processes)


class Experiment:
    """One task, its corpus, and how candidates are trained on it."""

    def __init__(
        self,
        corpus: Corpus,
        task: Task,
        candidates: Candidates,
        settings: FinetuneSettings,
        *,
        accelerator: Accelerator,
        cache: Path,
        progress: SavedProgress | None = None,
        is_usable: bool = False,
    ) -> None:
        """Check all that can be checked before anything is computed; `cache` is for embeddings.

        What `progress` keeps of an earlier comparison is taken over. Where `is_usable`, every
        recording of the task is known to be: but for a probe, which embeds them, none is read to
        find out.

        Raises InputError where a class cannot be told apart, recordings lack leads, or the
        processes cannot share a training.
        """
        check_processes(candidates, accelerator.num_processes)
        self._corpus, self._task, self._candidates = corpus, task, candidates
        self._settings, self._accelerator, self._is_usable = settings, accelerator, is_usable
        self._progress = progress
        self._reading = loader_options(candidates.preprocess, settings)
        min_leads = self._reading.min_leads
        self._folder = cache
        self._cache = EmbeddingCache(
            corpus,
            candidates.preprocess,
            pooling=settings.pooling,
            batch_size=settings.batch_size,
            accelerator=accelerator,
            folder=cache,
            min_leads=min_leads,
            workers=settings.data_workers,
        )
        check_task(task, leave_out_absent=settings.absent_classes == "leave_out")
        most = settings.max_unusable
        check_leads(corpus, candidates.preprocess, task, min_leads=min_leads, max_unusable=most)

    def run(self, save: Save | None = None) -> ExperimentResults:
        """Train and score all candidates; `save` is called for the first, on the main process.

        It is called each time that the classifier is better than before. Raises InputError where
        too many recordings are unusable, training meets what is not finite, or what was kept is of
        other recordings.
        """
        if self._settings.mode == "probe":
            usable, by_candidate = self._probe(save)
        else:
            usable, by_candidate = self._usable(), {}
        check_task(usable.task, leave_out_absent=self._settings.absent_classes == "leave_out")
        task, progress = usable.task, None
        if self._progress is not None:
            recordings = digest_recordings(self._corpus, task.classes, task.train, task.evaluation)
            progress = self._progress.knowing(recordings=recordings)
        for name, candidate in self._candidates.by_name.items():
            if name not in by_candidate:
                is_first = name == next(iter(self._candidates.by_name))
                kept = TrainingProgress(progress, name) if progress else None
                by_candidate[name] = self._train(
                    name, candidate, task, save=save if is_first else None, kept=kept
                )
        return ExperimentResults(by_candidate, usable.task, usable.unusable)

    def _usable(self) -> UsableTask:
        if self._is_usable:
            return UsableTask(self._task, {split: {} for split in SPLITS})
        return usable_task(
            self._corpus,
            self._candidates.preprocess,
            self._task,
            accelerator=self._accelerator,
            min_leads=self._reading.min_leads,
            max_unusable=self._settings.max_unusable,
            workers=self._settings.data_workers,
        )

    def _probe(self, save: Save | None) -> tuple[UsableTask, dict[str, CandidateResult]]:
        """Probe the encoders, on embeddings that are kept."""
        candidates = self._candidates.by_name
        encoders = {n: c.encoder for n, c in candidates.items() if c.encoder is not None}
        features = embed_all(
            self._cache, encoders, self._task, max_unusable=self._settings.max_unusable
        )
        task, by_candidate = features.task, {}
        for name, (train, evaluation) in features.by_encoder.items():
            probe = self._fit_probe(train, task.train, task)
            classifier = self._as_classifier(candidates[name], probe)
            result = probe_result(probe, evaluation, task)
            result = result._replace(
                classifier=classifier, facts=result.facts | size_of(classifier)
            )
            by_candidate[name] = result
            if save is not None and name == next(iter(candidates)):
                kept = (classifier, result.thresholds, result.facts)
                from_main(self._accelerator, partial(save, *kept))
        if KERNELS in self._settings.compared_with:
            by_candidate |= self._probe_kernels(features)
        return UsableTask(task, features.unusable), by_candidate

    def _probe_kernels(self, features: Features) -> dict[str, CandidateResult]:
        """Probe untrained features, by themselves and beside those of the encoder in question."""
        task, own = features.task, next(iter(features.by_encoder.values()))
        kernels = KernelBaseline(
            self._corpus,
            self._candidates.preprocess,
            self._settings,
            levels_from=self._task.train.rows,
            accelerator=self._accelerator,
            cache=self._folder,
        )
        train, evaluation = (
            kernels.features_beside(encoded, part.rows, name=f"{split} split")
            for encoded, part, split in zip(own, self._task[1:], SPLITS, strict=True)
        )
        return {
            name: probe_result(
                self._fit_probe(train[name], task.train, task), evaluation[name], task
            )
            for name in train
        }

    def _fit_probe(self, features: np.ndarray, part: LabelledRows, task: Task) -> LinearProbe:
        return from_main(self._accelerator, lambda: fit_probe(features, part, task, self._settings))

    def _as_classifier(self, candidate: Candidate, probe: LinearProbe) -> Classifier:
        classifier = build_classifier(candidate.architecture, candidate.encoder)
        assert isinstance(classifier.model, EncoderClassifier)
        assert isinstance(classifier.model.head, LinearHead)
        classifier.model.head.start_from(
            weight=probe.weight, bias=probe.bias, mean=probe.mean, scale=probe.scale
        )
        return classifier

    def _train(
        self,
        name: str,
        candidate: Candidate,
        task: Task,
        *,
        save: Save | None,
        kept: TrainingProgress | None,
    ) -> CandidateResult:
        """Train one candidate on all but the held-out patients, and score it."""
        settings = self._settings
        held_out = draw_hold_out(
            task.train.labels,
            task.train.patients,
            generator=np.random.default_rng([settings.seed, 0]),
            share=candidate.training.hold_out,
        )
        torch.manual_seed(settings.seed)
        if candidate.architecture.mode == "probe_then_full":
            classifier = self._from_probe(name, candidate, task, held_out)
        else:
            classifier = build_classifier(candidate.architecture, candidate.encoder)
        training = Training(
            classifier,
            self._data(task, held_out),
            candidate.training,
            self._accelerator,
            seed=settings.seed,
            reading=self._reading,
        )

        def keep(reached: Reached) -> None:
            if save is not None:
                thresholds = thresholds_of(task, held_out, reached.held_out)
                facts = facts_of(classifier, reached)
                from_main(self._accelerator, lambda: save(classifier, thresholds, facts))

        start = kept.newest(candidate.training.epochs) if kept else None
        reached = training.run(keep, start=start, after_epoch=kept.save if kept else None)
        scored = kept.scores() if kept else None
        if scored is None:
            scored = self._score(name, classifier, task)
            if kept is not None:
                kept.save_scores(scored)
        return CandidateResult(
            scored.probabilities,
            thresholds_of(task, held_out, reached.held_out),
            facts_of(classifier, reached),
            scored.lead_weights,
            scored.gate,
            HeldOut(held_out, reached.held_out),
            classifier,
        )

    def _score(self, name: str, classifier: Classifier, task: Task) -> Scored:
        return score_recordings(
            classifier,
            Split(self._corpus, task.evaluation.rows, self._candidates.preprocess),
            self._reading,
            accelerator=self._accelerator,
            name=f"score {name}",
        )

    def _data(self, task: Task, held_out: np.ndarray) -> TrainingData:
        rows, labels = task.train.rows, task.train.labels
        splits = [
            Split(self._corpus, rows[chosen], self._candidates.preprocess)
            for chosen in (~held_out, held_out)
        ]
        return TrainingData(splits[0], labels[~held_out], splits[1], labels[held_out])

    def _from_probe(
        self, name: str, candidate: Candidate, task: Task, held_out: np.ndarray
    ) -> Classifier:
        """Start where a probe ends that has not seen the held-out patients either."""
        assert candidate.encoder is not None, "the mode has an encoder"
        part = task.train.only(task.train.rows[~held_out])
        embedded = self._cache.embed(candidate.encoder, part.rows, name=f"{name}, to begin with")
        return self._as_classifier(candidate, self._fit_probe(embedded.features, part, task))

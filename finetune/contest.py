"""Train every contender on the same recordings, and score all on the evaluation split."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from finetune.classifiers import Classifier, build_classifier
from finetune.contenders import KERNELS, Contender, Contest
from finetune.embeddings import EmbeddingCache
from finetune.evaluate import Features, embed_all, fit_probe
from finetune.floor import Floor
from finetune.hold_out import HeldOut, draw_hold_out
from finetune.linear_probe import LinearProbe
from finetune.main_process import from_main
from finetune.networks.heads import EncoderClassifier, LinearHead
from finetune.outcomes import Compared, Outcome, facts_of, probed, size_of, thresholds_of
from finetune.progress import Progress, digest_recordings
from finetune.scoring import Scored, score_recordings
from finetune.settings import FinetuneSettings
from finetune.tasks import LabelledRows, Task
from finetune.training import Reached, Training, TrainingData
from finetune.training_batches import check_parts
from finetune.training_progress import TrainingProgress
from finetune.usable import SPLITS, UsableTask, check_leads, check_task, usable_task
from finetune.windows import reading_of
from lamae.corpus import Corpus
from lamae.dataset import Split

Save = Callable[[Classifier, np.ndarray, dict[str, Any]], None]
"""Is given a classifier, the threshold of each class (NaN for none), and facts about it."""


def check_processes(contest: Contest, processes: int) -> None:
    """Raise InputError where so many processes cannot share the steps of a contender."""
    for contender in contest.contenders.values():
        if contender.architecture.mode != "probe":
            check_parts(contender.training, processes)


class Comparison:
    """One task, its corpus, and how contenders are trained on it."""

    def __init__(
        self,
        corpus: Corpus,
        task: Task,
        contest: Contest,
        settings: FinetuneSettings,
        *,
        accelerator: Accelerator,
        cache: Path,
        progress: Progress | None = None,
        is_usable: bool = False,
    ) -> None:
        """Check all that can be checked before anything is computed; `cache` is for embeddings.

        What `progress` keeps of an earlier comparison is taken over. Where `is_usable`, every
        recording of the task is known to be: but for a probe, which embeds them, none is read to
        find out.

        Raises InputError where a class cannot be told apart, recordings lack leads, or the
        processes cannot share a training.
        """
        check_processes(contest, accelerator.num_processes)
        self._corpus, self._task, self._contest = corpus, task, contest
        self._settings, self._accelerator, self._is_usable = settings, accelerator, is_usable
        self._progress = progress
        self._reading = reading_of(contest.preprocess, settings)
        min_leads = self._reading.min_leads
        self._folder = cache
        self._cache = EmbeddingCache(
            corpus,
            contest.preprocess,
            pooling=settings.pooling,
            batch_size=settings.batch_size,
            accelerator=accelerator,
            folder=cache,
            min_leads=min_leads,
            workers=settings.data_workers,
        )
        check_task(task, leave_out_absent=settings.absent_classes == "leave_out")
        most = settings.max_unusable
        check_leads(corpus, contest.preprocess, task, min_leads=min_leads, max_unusable=most)

    def run(self, save: Save | None = None) -> Compared:
        """Train and score all contenders; `save` is called for the first, on the main process.

        It is called each time that the classifier is better than before. Raises InputError where
        too many recordings are unusable, training meets what is not finite, or what was kept is of
        other recordings.
        """
        if self._settings.mode == "probe":
            usable, outcomes = self._probe(save)
        else:
            usable, outcomes = self._usable(), {}
        check_task(usable.task, leave_out_absent=self._settings.absent_classes == "leave_out")
        task, progress = usable.task, None
        if self._progress is not None:
            recordings = digest_recordings(self._corpus, task.classes, task.train, task.evaluation)
            progress = self._progress.knowing(recordings=recordings)
        for name, contender in self._contest.contenders.items():
            if name not in outcomes:
                is_first = name == next(iter(self._contest.contenders))
                kept = TrainingProgress(progress, name) if progress else None
                outcomes[name] = self._train(
                    name, contender, task, save=save if is_first else None, kept=kept
                )
        return Compared(outcomes, usable.task, usable.unusable)

    def _usable(self) -> UsableTask:
        if self._is_usable:
            return UsableTask(self._task, {split: {} for split in SPLITS})
        return usable_task(
            self._corpus,
            self._contest.preprocess,
            self._task,
            accelerator=self._accelerator,
            min_leads=self._reading.min_leads,
            max_unusable=self._settings.max_unusable,
            workers=self._settings.data_workers,
        )

    def _probe(self, save: Save | None) -> tuple[UsableTask, dict[str, Outcome]]:
        """Probe the encoders, on embeddings that are kept."""
        contenders = self._contest.contenders
        encoders = {n: c.encoder for n, c in contenders.items() if c.encoder is not None}
        features = embed_all(
            self._cache, encoders, self._task, max_unusable=self._settings.max_unusable
        )
        task, outcomes = features.task, {}
        for name, (train, evaluation) in features.by_encoder.items():
            probe = self._fit_probe(train, task.train, task)
            classifier = self._as_classifier(contenders[name], probe)
            outcome = probed(probe, evaluation, task)
            outcome = outcome._replace(
                classifier=classifier, facts=outcome.facts | size_of(classifier)
            )
            outcomes[name] = outcome
            if save is not None and name == next(iter(contenders)):
                kept = (classifier, outcome.thresholds, outcome.facts)
                from_main(self._accelerator, partial(save, *kept))
        if KERNELS in self._settings.compared_with:
            outcomes |= self._probe_floor(features)
        return UsableTask(task, features.unusable), outcomes

    def _probe_floor(self, features: Features) -> dict[str, Outcome]:
        """Probe what nothing was trained for, alone and beside the encoder in question."""
        task, own = features.task, next(iter(features.by_encoder.values()))
        floor = Floor(
            self._corpus,
            self._contest.preprocess,
            self._settings,
            levels_from=self._task.train.rows,
            accelerator=self._accelerator,
            cache=self._folder,
        )
        train, evaluation = (
            floor.features_beside(encoded, part.rows, name=f"{split} split")
            for encoded, part, split in zip(own, self._task[1:], SPLITS, strict=True)
        )
        return {
            name: probed(self._fit_probe(train[name], task.train, task), evaluation[name], task)
            for name in train
        }

    def _fit_probe(self, features: np.ndarray, part: LabelledRows, task: Task) -> LinearProbe:
        return from_main(self._accelerator, lambda: fit_probe(features, part, task, self._settings))

    def _as_classifier(self, contender: Contender, probe: LinearProbe) -> Classifier:
        classifier = build_classifier(contender.architecture, contender.encoder)
        assert isinstance(classifier.model, EncoderClassifier)
        assert isinstance(classifier.model.head, LinearHead)
        classifier.model.head.start_from(probe)
        return classifier

    def _train(
        self,
        name: str,
        contender: Contender,
        task: Task,
        *,
        save: Save | None,
        kept: TrainingProgress | None,
    ) -> Outcome:
        """Train one contender on all but the held-out patients, and score it."""
        settings = self._settings
        held_out = draw_hold_out(
            task.train.labels,
            task.train.patients,
            generator=np.random.default_rng([settings.seed, 0]),
            share=contender.training.hold_out,
        )
        torch.manual_seed(settings.seed)
        if contender.architecture.mode == "probe_then_full":
            classifier = self._from_probe(name, contender, task, held_out)
        else:
            classifier = build_classifier(contender.architecture, contender.encoder)
        training = Training(
            classifier,
            self._data(task, held_out),
            contender.training,
            self._accelerator,
            seed=settings.seed,
            reading=self._reading,
        )

        def keep(reached: Reached) -> None:
            if save is not None:
                thresholds = thresholds_of(task, held_out, reached.held_out)
                facts = facts_of(classifier, reached)
                from_main(self._accelerator, lambda: save(classifier, thresholds, facts))

        start = kept.newest(contender.training.epochs) if kept else None
        reached = training.run(keep, start=start, after_epoch=kept.save if kept else None)
        scored = kept.scores() if kept else None
        if scored is None:
            scored = self._score(name, classifier, task)
            if kept is not None:
                kept.save_scores(scored)
        return Outcome(
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
            Split(self._corpus, task.evaluation.rows, self._contest.preprocess),
            self._reading,
            accelerator=self._accelerator,
            name=f"score {name}",
        )

    def _data(self, task: Task, held_out: np.ndarray) -> TrainingData:
        rows, labels = task.train.rows, task.train.labels
        splits = [
            Split(self._corpus, rows[chosen], self._contest.preprocess)
            for chosen in (~held_out, held_out)
        ]
        return TrainingData(splits[0], labels[~held_out], splits[1], labels[held_out])

    def _from_probe(
        self, name: str, contender: Contender, task: Task, held_out: np.ndarray
    ) -> Classifier:
        """Start where a probe ends that has not seen the held-out patients either."""
        assert contender.encoder is not None, "the mode has an encoder"
        part = task.train.only(task.train.rows[~held_out])
        embedded = self._cache.embed(contender.encoder, part.rows, name=f"{name}, to begin with")
        return self._as_classifier(contender, self._fit_probe(embedded.features, part, task))

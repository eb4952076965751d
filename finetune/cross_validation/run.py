"""The cross-validation of a cohort in any mode: from settings to out-of-fold results."""

import sys
from collections.abc import Mapping
from functools import partial

import numpy as np
from accelerate import Accelerator

from finetune.cross_validation.nested import (
    FitAndScore,
    FoldScores,
    cross_validate,
    draw_folds,
    fit_nested_probe,
)
from finetune.cross_validation.results import write_results
from finetune.cross_validation.resume_folds import FOLDS, keep_fits
from finetune.cross_validation.settings import CrossValidateSettings
from finetune.data.audit import audit_leakage, check_copies
from finetune.data.hold_out import HeldOut
from finetune.data.tasks import Cohort, Task, make_cohort
from finetune.data.usable import usable_task
from finetune.data.windows import loader_options
from finetune.evaluation.assessment import challenge_weights
from finetune.evaluation.operating_points import (
    choose_operating_points,
    decide,
    exclusive_columns,
)
from finetune.experiment.candidates import KERNELS, SUPERVISED, make_candidates
from finetune.experiment.kernel_baseline import KernelBaseline
from finetune.experiment.resume import SavedProgress, about_run, digest, digest_recordings
from finetune.experiment.train_and_score import Experiment, check_processes
from finetune.overwriting import check_free, clear_results
from finetune.processes import from_main, start
from finetune.settings import FinetuneSettings
from finetune.training.embeddings import EmbeddingCache
from finetune.training.linear_probe import LinearProbe
from lamae.batches.dataset import Split
from lamae.ecg.preprocess import Preprocessor
from lamae.runs.tracking import SUMMARY
from lamae.statistics.challenge_metric import ChallengeWeights
from lamae.storage.corpus import Corpus
from lamae.storage.index import Index


def cross_validate_cohort(settings: CrossValidateSettings) -> list[str]:
    """Cross-validate, and leave out_of_fold.csv, report.html and summary.json in run_dir.

    A cross-validation that was interrupted there goes on with the fits that are missing.
    """
    accelerator = start(settings, precision=settings.precision)
    check_free(settings.run_dir, overwrite=settings.overwrite)
    corpus = Corpus(settings.data, **settings.caching)
    splits = settings.splits or Index(corpus.index_path).categories("split").names
    cohort = make_cohort(corpus, settings, splits)
    nobody = cohort.part.rows[:0]
    audit = audit_leakage(
        corpus,
        nobody,
        cohort.part.rows,
        settings,
        encoder=settings.encoder,
        split=", ".join(splits),
    )
    audit["sentences"] = audit["sentences"][1:]  # of training: folds are checked for copies
    challenge = challenge_weights(settings, cohort.classes)
    exclusive_columns(cohort.classes, settings.exclusive)  # an unknown name is said before training
    runner = _Runner(corpus, cohort.classes, settings, accelerator, challenge)
    cohort, unusable = runner.usable(cohort)
    drawing = {"folds": settings.folds, "repeats": settings.repeats, "seed": settings.seed}
    drawn = draw_folds(cohort, **drawing)
    for fold in drawn:  # checked before anything is computed
        check_copies(corpus, cohort.part.rows, fold)
    progress = runner.progress(cohort, drawn)
    done = progress.begin(overwrite=settings.overwrite)
    clear_results(settings.run_dir)
    if done and accelerator.is_main_process:
        fits = settings.folds * settings.repeats
        sys.stdout.write(f"{done} of {fits} fits were done before\n")
    found = cross_validate(cohort, keep_fits(runner.fit_and_score(cohort), progress), **drawing)
    if not accelerator.is_main_process:
        return []
    told = write_results(
        cohort,
        found,
        Split(corpus, cohort.part.rows, runner.preprocess),
        settings,
        run_dir=settings.run_dir,
        challenge=challenge,
        more={"audit": audit, "unusable": unusable},
    )
    progress.remove()  # out_of_fold.csv holds all
    return [*told, f"Results: {settings.run_dir / SUMMARY}"]


class _Runner:
    """A mode and its baselines on any task of a corpus."""

    def __init__(
        self,
        corpus: Corpus,
        classes: tuple[str, ...],
        settings: CrossValidateSettings,
        accelerator: Accelerator,
        challenge: ChallengeWeights | None,
    ) -> None:
        update = {"absent_classes": "leave_out", "label_fraction": 1.0}
        self._settings = settings.model_copy(update=update)
        self._corpus, self._accelerator, self._challenge = corpus, accelerator, challenge
        self._cache = settings.embeddings or settings.run_dir / "embeddings"
        self._candidates = make_candidates(self._settings, classes)

    @property
    def preprocess(self) -> Preprocessor:
        """Preprocessor of all classifiers."""
        return self._candidates.preprocess

    def usable(self, cohort: Cohort) -> tuple[Cohort, dict[str, list[str]]]:
        """Leave out what cannot be used; return the rest, and keys by reason.

        Raises InputError where too much is left out, or the processes cannot share a training.
        """
        settings, part = self._settings, cohort.part
        check_processes(self._candidates, self._accelerator.num_processes)
        nobody = part.where(np.zeros(len(part.rows), dtype=bool))
        found = usable_task(
            self._corpus,
            self.preprocess,
            Task(cohort.classes, nobody, part),
            accelerator=self._accelerator,
            min_leads=self._min_leads(),
            max_unusable=settings.max_unusable,
            workers=settings.data_workers,
        )
        return cohort._replace(part=found.task.evaluation), found.unusable["evaluation"]

    def progress(self, cohort: Cohort, fold: np.ndarray) -> SavedProgress:
        """Return what keeps the fits to these recordings and folds."""
        about = {
            **about_run(self._settings, self._corpus, self._candidates),
            "recordings": digest_recordings(self._corpus, cohort.classes, cohort.part),
            "folds": digest(fold.tobytes()),
        }
        folder = self._settings.run_dir / FOLDS
        return SavedProgress(folder, about, accelerator=self._accelerator)

    def fit_and_score(self, cohort: Cohort) -> FitAndScore:
        """Return what fits the mode and its baselines to a task, and scores them."""
        settings = self._settings
        if settings.mode != "probe":
            return lambda task, number: self._train(task, number, settings)
        probes = self._probe(cohort)
        if SUPERVISED not in settings.compared_with:
            return probes
        update = {
            "mode": "cnn_attention_bilstm",
            "encoder": None,
            "preprocess": self.preprocess,
            "training": settings.supervised,
            "baselines": (),
        }
        network = settings.model_copy(update=update)

        def both(task: Task, number: int) -> Mapping[str, FoldScores]:
            (scores,) = self._train(task, number, network).values()
            return {**probes(task, number), SUPERVISED: scores}

        return both

    def _min_leads(self) -> int:
        return loader_options(self.preprocess, self._settings).min_leads

    def _probe(self, cohort: Cohort) -> FitAndScore:
        """Embed the cohort once, and fit probes with inner folds."""
        settings, rows = self._settings, cohort.part.rows
        cache = EmbeddingCache(
            self._corpus,
            self.preprocess,
            pooling=settings.pooling,
            batch_size=settings.batch_size,
            accelerator=self._accelerator,
            folder=self._cache,
            min_leads=self._min_leads(),
            workers=settings.data_workers,
        )
        features = {
            name: cache.embed(candidate.encoder, rows, name=name).features
            for name, candidate in self._candidates.by_name.items()
            if candidate.encoder is not None
        }
        if KERNELS in settings.compared_with:
            kernels = KernelBaseline(
                self._corpus,
                self.preprocess,
                settings,
                levels_from=rows,
                accelerator=self._accelerator,
                cache=self._cache,
            )
            features |= kernels.features_beside(next(iter(features.values())), rows, name="cohort")

        def fit(known: np.ndarray, task: Task, number: int) -> LinearProbe:
            return fit_nested_probe(
                known,
                task.train.labels,
                task.train.patients,
                classes=task.classes,
                multi_label=settings.multi_label,
                l2_grid=settings.l2_grid,
                folds=settings.inner_folds,
                generator=np.random.default_rng([settings.seed, 4, number]),
            )

        def fit_and_score(task: Task, number: int) -> Mapping[str, FoldScores]:
            own, scored = (np.searchsorted(rows, part.rows) for part in task[1:])
            found = {}
            for name, known in features.items():
                probe = from_main(self._accelerator, partial(fit, known[own], task, number))
                found[name] = self._fold_scores(probe.scores(known[scored]), probe.held_out, task)
            return found

        return fit_and_score

    def _train(
        self, task: Task, number: int, settings: FinetuneSettings
    ) -> Mapping[str, FoldScores]:
        """Train every candidate anew, from a seed of this fit's own."""
        own = np.random.SeedSequence([settings.seed, 5, number]).generate_state(1)[0]
        settings = settings.model_copy(update={"seed": int(own)})
        experiment = Experiment(
            self._corpus,
            task,
            make_candidates(settings, task.classes),
            settings,
            accelerator=self._accelerator,
            cache=self._cache,
            is_usable=True,
        )
        results = experiment.run()
        return {
            name: self._fold_scores(result.probabilities, result.held_out, results.task)
            for name, result in results.by_candidate.items()
        }

    def _fold_scores(
        self, probabilities: np.ndarray, held_out: HeldOut | None, task: Task
    ) -> FoldScores:
        points = choose_operating_points(held_out, task, challenge=self._challenge)
        decisions = decide(
            points,
            probabilities,
            multi_label=self._settings.multi_label,
            exclusive=exclusive_columns(task.classes, self._settings.exclusive),
        )
        return FoldScores(probabilities, decisions)

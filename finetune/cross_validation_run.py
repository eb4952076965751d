"""The cross-validation of a cohort in any mode: from settings to out-of-fold results."""

import sys
from collections.abc import Mapping
from functools import partial

import numpy as np
from accelerate import Accelerator
from pydantic import Field, model_validator

from finetune.assessment import challenge_weights
from finetune.audit import audit_leakage, check_copies
from finetune.contenders import KERNELS, SUPERVISED, make_contest
from finetune.contest import Comparison, check_processes
from finetune.cross_validation import (
    FitAndScore,
    FoldScores,
    cross_validate,
    draw_folds,
    fit_nested_probe,
)
from finetune.cross_validation_results import write_results
from finetune.embeddings import EmbeddingCache
from finetune.floor import Floor
from finetune.fold_progress import FOLDS, keep_fits
from finetune.hold_out import HeldOut
from finetune.linear_probe import LinearProbe
from finetune.main_process import from_main
from finetune.operating_points import choose_operating_points, decide
from finetune.overwriting import check_free, clear_results
from finetune.progress import Progress, about_run, digest, digest_recordings
from finetune.settings import FinetuneSettings
from finetune.tasks import Cohort, Task, make_cohort
from finetune.usable import usable_task
from finetune.windows import reading_of
from lamae.challenge_metric import ChallengeWeights
from lamae.config import FolderPath
from lamae.corpus import INDEX, Corpus
from lamae.dataset import Split
from lamae.index import Index
from lamae.preprocess import Preprocessor
from lamae.threads import use_cores
from lamae.tracking import SUMMARY


class CrossValidateSettings(FinetuneSettings):
    """One classifier and its baselines, cross-validated by patient.

    `train_split`, `eval_split`, `evaluate_where` and `label_fraction` are refused: every recording
    of the cohort is evaluated, and all other patients are learnt from.
    """

    run_dir: FolderPath
    """Where results go."""
    splits: tuple[str, ...] | None = None
    """Splits of the shards that are the cohort; by default all."""
    folds: int = Field(5, ge=2)
    """Outer folds, that evaluate."""
    repeats: int = Field(1, gt=0)
    """How often patients are dealt out anew."""
    inner_folds: int = Field(5, ge=2)
    """Folds of the training patients by which a probe's penalty is chosen; trained modes choose
    on training.hold_out."""

    @model_validator(mode="after")
    def _whole_cohort(self) -> "CrossValidateSettings":
        given = [
            name
            for name in ("train_split", "eval_split", "evaluate_where", "label_fraction")
            if getattr(self, name) != FinetuneSettings.model_fields[name].default
        ]
        if given:
            raise ValueError(
                f"{', '.join(given)}: not for a cross-validation, which evaluates every recording "
                "of the cohort; choose the cohort with splits= and where="
            )
        if self.lead_masking:
            raise ValueError("lead_masking asks one classifier; a cross-validation has many")
        return self


def cross_validate_cohort(settings: CrossValidateSettings, accelerator: Accelerator) -> None:
    """Cross-validate, and leave out_of_fold.csv, report.html and summary.json in run_dir.

    A cross-validation that was interrupted there goes on with the fits that are missing.
    """
    use_cores(accelerator, settings.cpu_threads)
    check_free(settings.run_dir, overwrite=settings.overwrite)
    corpus = Corpus(settings.data)
    splits = settings.splits or Index(corpus.folder / INDEX).categories("split").names
    cohort = make_cohort(corpus, settings, splits)
    nobody = cohort.part.rows[:0]
    audit = audit_leakage(corpus, nobody, cohort.part.rows, settings)
    audit["sentences"] = audit["sentences"][1:]  # of training: folds are checked for copies
    challenge = challenge_weights(settings, cohort.classes)
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
    if accelerator.is_main_process:
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
        sys.stdout.write("\n".join([*told, f"Results: {settings.run_dir / SUMMARY}", ""]))


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
        self._cache = settings.cache or settings.run_dir / "embeddings"
        self._contest = make_contest(self._settings, classes)

    @property
    def preprocess(self) -> Preprocessor:
        """What all classifiers read."""
        return self._contest.preprocess

    def usable(self, cohort: Cohort) -> tuple[Cohort, dict[str, list[str]]]:
        """Leave out what cannot be used; return the rest, and keys by reason.

        Raises InputError where too much is left out, or the processes cannot share a training.
        """
        settings, part = self._settings, cohort.part
        check_processes(self._contest, self._accelerator.num_processes)
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

    def progress(self, cohort: Cohort, fold: np.ndarray) -> Progress:
        """Return what keeps the fits to these recordings and folds."""
        about = {
            **about_run(self._settings, self._corpus, self._contest),
            "recordings": digest_recordings(self._corpus, cohort.classes, cohort.part),
            "folds": digest(fold.tobytes()),
        }
        folder = self._settings.run_dir / FOLDS
        return Progress(folder, about, accelerator=self._accelerator)

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
        return reading_of(self.preprocess, self._settings).min_leads

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
            name: cache.embed(contender.encoder, rows, name=name).features
            for name, contender in self._contest.contenders.items()
            if contender.encoder is not None
        }
        if KERNELS in settings.compared_with:
            floor = Floor(
                self._corpus,
                self.preprocess,
                settings,
                levels_from=rows,
                accelerator=self._accelerator,
                cache=self._cache,
            )
            features |= floor.features_beside(next(iter(features.values())), rows, name="cohort")

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
                found[name] = self._judged(probe.scores(known[scored]), probe.held_out, task)
            return found

        return fit_and_score

    def _train(
        self, task: Task, number: int, settings: FinetuneSettings
    ) -> Mapping[str, FoldScores]:
        """Train every contender anew, from a seed of this fit's own."""
        own = np.random.SeedSequence([settings.seed, 5, number]).generate_state(1)[0]
        settings = settings.model_copy(update={"seed": int(own)})
        comparison = Comparison(
            self._corpus,
            task,
            make_contest(settings, task.classes),
            settings,
            accelerator=self._accelerator,
            cache=self._cache,
            is_usable=True,
        )
        compared = comparison.run()
        return {
            name: self._judged(outcome.probabilities, outcome.held_out, compared.task)
            for name, outcome in compared.outcomes.items()
        }

    def _judged(
        self, probabilities: np.ndarray, held_out: HeldOut | None, task: Task
    ) -> FoldScores:
        points = choose_operating_points(held_out, task, challenge=self._challenge)
        multi_label = self._settings.multi_label
        return FoldScores(probabilities, decide(points, probabilities, multi_label=multi_label))

"""A comparison: finished runs on the recordings that all evaluated, with paired differences."""

from collections.abc import Mapping
from typing import Any

from finetune.comparison.common_recordings import Common, align, measure_models, patients_of
from finetune.comparison.finished_runs import read_run
from finetune.comparison.label_efficiency import check_seeds, efficiency_section, find_methods
from finetune.comparison.sections import (
    class_section,
    curves,
    macro_section,
    settings_section,
)
from finetune.comparison.settings import CompareSettings
from finetune.evaluation.ranking_measures import interval_as_dict
from finetune.overwriting import check_apart, check_free, clear_results
from finetune.processes import start_single
from finetune.reports.page import write_report
from lamae.errors import InputError
from lamae.files import write_json
from lamae.remote.locations import as_location
from lamae.runs.tracking import SUMMARY, run_summary
from lamae.statistics.interval import Interval
from lamae.statistics.ranking_of_few import ScoreIntervals
from lamae.statistics.score_intervals import BootstrapScores
from lamae.storage.corpus import Corpus


def compare_runs(settings: CompareSettings) -> list[str]:
    """Compare, leave report.html and summary.json in run_dir, and say what was found.

    Raises InputError where there is nothing to compare, runs have nothing in common, or results
    would replace what is compared.
    """
    start_single(settings)
    arms = {name: [read_run(run) for run in runs] for name, runs in settings.runs.items()}
    check_seeds(arms)
    first, methods = next(iter(arms)), find_methods(arms)
    on_curves = [name for names in methods for name in names]
    common = align(arms, with_baselines=list(dict.fromkeys([first, *on_curves])))
    if len(common.models) < 2:
        raise InputError(
            "runs",
            value=f"{len(common.models)} model, of {', '.join(arms)}",
            expected="two or more",
            remedy="Give runs={NAME: FOLDER, OTHER: FOLDER}.",
        )
    check_free(settings.run_dir, overwrite=settings.overwrite)
    check_apart(settings.run_dir, *(run for runs in settings.runs.values() for run in runs))
    data = settings.data or as_location(arms[first][0].summary["config"]["data"])
    corpus = Corpus(data, **settings.caching)
    patients = patients_of(corpus, common.keys)
    measured = measure_models(common, patients, resamples=settings.resamples, seed=settings.seed)
    summary = _summary(settings, common, measured)
    findings = _findings(common, measured)
    clear_results(settings.run_dir)
    sections = [
        macro_section(common, measured),
        efficiency_section(arms, measured),
        class_section(common, measured, patients),
        curves(common),
        settings_section(arms),
    ]
    write_report(
        settings.run_dir / "report.html",
        title=f"LAMAE: comparison of {' and '.join(arms)}",
        findings=findings,
        summary=summary,
        sections=[section for section in sections if section is not None],
    )
    write_json(settings.run_dir / SUMMARY, summary)
    return [*findings, f"Report: {settings.run_dir / 'report.html'}"]


def _summary(
    settings: CompareSettings, common: Common, measured: BootstrapScores
) -> dict[str, Any]:
    return run_summary(
        settings,
        seed=settings.seed,
        counts={
            "records": measured.records,
            "patients": measured.patients,
            "left_out": common.left_out,
        },
        models={name: _as_numbers(found) for name, found in measured.models.items()},
        differences={name: _as_numbers(found) for name, found in measured.differences.items()},
        positives=measured.positive_records,
        classes_left_out=[*common.classes_left_out, *measured.left_out],
        resamples=measured.resamples,
        level=measured.level,
    )


def _as_numbers(found: ScoreIntervals) -> dict[str, Any]:
    by_class: Mapping[str, Mapping[str, Interval]] = {"auroc": found.auroc, "auprc": found.auprc}
    return {
        "auroc_macro": interval_as_dict(found.auroc_macro),
        "auprc_macro": interval_as_dict(found.auprc_macro),
    } | {
        metric: {name: interval_as_dict(value) for name, value in values.items()}
        for metric, values in by_class.items()
    }


def _findings(common: Common, measured: BootstrapScores) -> list[str]:
    first, *others = measured.models
    own = measured.models[first].auroc_macro
    found = [
        f"Macro AUROC of {first} is {own} on {measured.records:,} recordings of "
        f"{measured.patients:,} patients that all runs evaluated."
    ]
    for other in others:
        difference = measured.differences[other].auroc_macro
        held = "holds 0" if difference.low <= 0 <= difference.high else "does not hold 0"
        found.append(
            f"{first} minus {other}: {difference}, which {held}; "
            f"{other} has {measured.models[other].auroc_macro.estimate:.3f}."
        )
    left = {name: count for name, count in common.left_out.items() if count}
    if left:
        told = ", ".join(f"{count:,} of {name}" for name, count in left.items())
        found.append(f"Recordings that not all runs evaluated are left out: {told}.")
    if common.classes_left_out or measured.left_out:
        named = ", ".join([*common.classes_left_out, *measured.left_out])
        found.append(f"Classes left out, which not all runs have or nothing can tell: {named}.")
    return found

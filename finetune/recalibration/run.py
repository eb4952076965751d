"""Recalibration: from a saved classifier and labelled recordings to a classifier that fits them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from finetune.classifiers.folder import LoadedClassifier, load_classifier, save_classifier
from finetune.overwriting import check_apart, check_output
from finetune.recalibration.cohort import Cohort, read_cohort
from finetune.recalibration.cross_fit import as_it_was, cross_fitted
from finetune.recalibration.fit import (
    LIKELIEST,
    Classes,
    Fit,
    criterion_of,
    fit,
    patients_on_each_side,
    rule_of,
    takes_curve,
)
from finetune.recalibration.measures import OF_DECISIONS, OF_PROBABILITIES, Measures, measure
from finetune.recalibration.origin import copy_origin, origin_of
from finetune.recalibration.settings import RecalibrateSettings
from lamae.errors import InputError
from lamae.pretrained.opening import kind_of
from lamae.release.place import find_model
from lamae.release.recalibration import RECALIBRATION
from lamae.statistics.probabilities import ClassCalibration


def recalibrate(settings: RecalibrateSettings) -> Iterator[str]:
    """Fit, measure on held-out patients, write the new model, and say what was done."""
    _, folder = kind_of(find_model(settings.model))
    check_apart(settings.output, folder)
    check_output(settings.output, overwrite=settings.overwrite, holds="another model")
    loaded = load_classifier(folder)
    cohort = read_cohort(loaded, settings)
    sides = patients_on_each_side(cohort.labels, cohort.patients)
    classes = classes_of(loaded, sides.min(axis=0), settings)
    criterion = criterion_of(settings)
    after = cross_fitted(
        cohort,
        classes,
        criterion,
        folds=settings.folds,
        generator=np.random.default_rng(settings.seed),
    )
    measures = measure(
        after,
        as_it_was(cohort, classes),
        cohort,
        classes=classes.names,
        fitted=classes.fitted,
        settings=settings,
    )
    found = fit(cohort.logits, cohort.labels, cohort.patients, classes, criterion)
    about = _about(found, classes, sides, cohort, measures, settings)
    about["model"] = origin_of(folder)
    _save(loaded, found, about, settings, folder)
    yield from _sentences(about, cohort, settings)


def classes_of(
    loaded: LoadedClassifier, fewer: np.ndarray, settings: RecalibrateSettings
) -> Classes:
    """Return the classes of a classifier; raises InputError where none has enough patients."""
    architecture = loaded.classifier.architecture
    names = architecture.classes
    fitted = fewer >= settings.min_positives
    if not fitted.any():
        raise InputError(
            f"labels of {settings.data}",
            value=f"at most {fewer.max()} patients on the rarer side of a class",
            expected=f"at least {settings.min_positives} with and without some class",
            remedy="Label more recordings, or lower min_positives.",
        )
    return Classes(
        names,
        architecture.multi_label,
        architecture.calibration or (ClassCalibration(),) * len(names),
        np.array([loaded.thresholds.get(name, np.inf) for name in names]),
        fitted,
        takes_curve(fewer, settings.method, settings.min_isotonic),
    )


def _save(
    loaded: LoadedClassifier,
    found: Fit,
    about: dict[str, Any],
    settings: RecalibrateSettings,
    origin: Path,
) -> None:
    classifier = loaded.classifier
    architecture = classifier.architecture.model_copy(update={"calibration": found.calibration})
    save_classifier(
        settings.output,
        classifier._replace(architecture=architecture),
        thresholds=dict(zip(architecture.classes, found.thresholds.tolist(), strict=True)),
        about={**loaded.about, RECALIBRATION: about},
        add=partial(copy_origin, origin),
    )


def _about(
    found: Fit,
    classes: Classes,
    sides: np.ndarray,
    cohort: Cohort,
    measures: Measures,
    settings: RecalibrateSettings,
) -> dict[str, Any]:
    by_class = {}
    for number, name in enumerate(classes.names):
        positive, negative = sides[:, number].tolist()
        before, after = classes.thresholds[number], found.thresholds[number]
        by_class[name] = {
            "patients_with": positive,
            "patients_without": negative,
            "method": _method(number, found, classes),
            "threshold_before": float(before) if np.isfinite(before) else None,
            "threshold_after": float(after) if np.isfinite(after) else None,
            **({} if name in found.problems else measures.get(name, {})),
        }
    return {
        "settings": settings.model_dump(mode="json"),
        "recordings": len(cohort.labels),
        "patients": len({*cohort.patients}),
        "left_out": cohort.left_out,
        "threshold_rule": rule_of(settings) if classes.multi_label else LIKELIEST,
        "classes": by_class,
    }


def _method(number: int, found: Fit, classes: Classes) -> str:
    name = classes.names[number]
    if name in found.problems:
        return f"as it was: {found.problems[name]}"
    if not classes.fitted[number]:
        return "as it was: too few patients"
    if not classes.multi_label:
        return "one slope, intercept by class"
    return "isotonic" if classes.isotonic[number] else "platt"


def _sentences(
    about: dict[str, Any], cohort: Cohort, settings: RecalibrateSettings
) -> Iterator[str]:
    said = "".join(f", {number} {reason}" for reason, number in cohort.left_out.items())
    yield f"{about['recordings']} labelled recordings of {about['patients']} patients{said}"
    yield (
        f"before -> after, on held-out patients of {settings.folds} folds; in brackets the "
        "difference with its 95 % interval"
    )
    for name, part in about["classes"].items():
        yield f"{name}: {part['patients_with']} patients, {part['method']}"
        for key in (*OF_PROBABILITIES, *OF_DECISIONS):
            if key in part:
                yield f"  {key.replace('_', ' '):18} {_change(part[key])}"
        if part["threshold_before"] != part["threshold_after"]:
            old, new = (part[f"threshold_{when}"] for when in ("before", "after"))
            yield f"  {'threshold':18} {_number(old)} -> {_number(new)}"
    yield f"model: {settings.output}"


def _change(part: dict[str, dict[str, float]]) -> str:
    difference = part["after_minus_before"]
    return (
        f"{part['before']['estimate']:.3f} -> {part['after']['estimate']:.3f} "
        f"[{difference['estimate']:+.3f}; {difference['low']:+.3f} to {difference['high']:+.3f}]"
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"

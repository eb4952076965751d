"""Leads that a classifier needs: the same recordings scored again, with leads taken from it.

A lead is taken by making it absent: its row zero, and what is normalised over all leads normalised
over those that are left. So every classifier goes its own way with it: LAMAE's encoder and LASAN
leave an absent lead out of all attention, a CNN over leads reads zeros. One that was never trained
with absent leads sees what it has not seen before, and some of what it then loses may be that; only
training with the leads left out tells the two apart.
Two questions are asked, and any two limb leads give the other four. What is lost without a lead or
a group of leads asks which rows a classifier reads: the row is taken though others may give it.
How it does with fewer leads asks what a device of so few is worth: limb leads that follow from two
of the device are there, as the preprocessor computes them for such a recording. They are taken from
the recording as it has them, which is the same where it keeps Einthoven's law: of 300 recordings of
PTB-XL, normalised, 299 differ from computed ones by less than 0.1, one, which breaks it, by 5.9.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Int

from finetune.classifiers.classifier import Classifier
from finetune.data.tasks import Task
from finetune.data.windows import LoaderOptions, average_over_windows
from finetune.experiment.candidate_results import ExperimentResults
from finetune.networks.convolution import recorded_steps
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Batch, Split
from lamae.ecg.leads import INDEPENDENT_LEADS, LEAD_GROUPS, LEADS
from lamae.ecg.preprocess import SMALLEST_SCALE_MV, Preprocessor
from lamae.errors import InputError
from lamae.statistics.metrics import defined_classes
from lamae.statistics.probabilities import probabilities
from lamae.statistics.score_intervals import BootstrapScores, bootstrap_scores
from lamae.storage.corpus import Corpus

Leads = tuple[str, ...]

FEWER_LEADS = MappingProxyType(
    {
        "12": LEADS,
        "8": INDEPENDENT_LEADS,
        "6": LEAD_GROUPS["limb"],
        "4": ("I", "II", "III", "V2"),
        "3": ("I", "II", "V2"),
        "2": ("I", "II"),
        "1": ("I",),
    }
)
"""From twelve leads to one. Those of 12, 6, 4, 3 and 2 leads are the sets of the PhysioNet/CinC
Challenge 2021 (Reyna et al.); 8 are the independent ones, 1 is that of most wearables."""


class LeadSets(NamedTuple):
    """Sets of a classifier's leads that are shown to it."""

    everything: Leads
    """All that it reads, in its order."""
    without: dict[str, Leads]
    """By what is taken, such as `V1-V3` or `aVL`, the leads that are left; none is given back."""
    alone: dict[str, Leads]
    """By lead, it and no other."""
    fewer: dict[Leads, Leads]
    """By the leads of a device, from all to few, those that they give the classifier."""

    def distinct(self) -> tuple[Leads, ...]:
        """Return each set once, all leads first: as many as the classifier is asked."""
        parts = (*self.without.values(), *self.alone.values(), *self.fewer.values())
        return tuple(dict.fromkeys((self.everything, *parts)))


class LeadScores(NamedTuple):
    """Predictions for recordings that have all leads of a classifier."""

    positions: Int[np.ndarray, " recordings"]
    """Their positions in the split, rising."""
    shown: dict[Leads, np.ndarray]
    """By the leads that are shown, float64 (recordings, classes) probabilities."""


class LeadNeed(NamedTuple):
    """Measures of a classifier with some of its leads."""

    sets: LeadSets
    """The leads that were shown to it."""
    measured: BootstrapScores
    """By `set_name`, all leads first, so that differences are what is lost without a lead."""


def lead_sets(leads: Sequence[str]) -> LeadSets:
    """Return what to show of a classifier's leads: without each group or lead, each alone, fewer.

    A group of which it reads one lead alone is that lead, and one that is all it reads is left out.
    Of a device those leads are named that the classifier has something of.
    """
    everything = tuple(leads)
    groups = {
        name: kept
        for name, group in LEAD_GROUPS.items()
        if (kept := _except(everything, group)) and len(everything) - len(kept) > 1
    }
    singles = {lead: _except(everything, (lead,)) for lead in everything if len(everything) > 1}
    devices = dict(_of_device(everything, some) for some in FEWER_LEADS.values())
    devices = {device: given for device, given in devices.items() if given}
    fewer = {everything: everything} | devices
    fewer = dict(sorted(fewer.items(), key=lambda one: len(one[0]), reverse=True))
    alone: dict[str, Leads] = {lead: (lead,) for lead in everything}
    return LeadSets(everything, groups | singles, alone, fewer)


def keep_leads(batch: Batch, kept: Bool[np.ndarray, " l"], *, of_record: bool) -> Batch:
    """Return recordings as the preprocessor makes those in which the other leads are absent.

    Nothing is computed from the leads that are kept: of which leads two limb leads give others,
    `lead_sets` knows. `of_record` says that the preprocessor normalises over all leads together,
    so that those left are normalised among themselves. A lead that is kept must be present in every
    recording.
    """
    if kept.all():
        return batch
    present = torch.from_numpy(kept).expand(len(batch.signal), -1)
    signal = batch.signal.masked_fill(~present[..., None], 0.0)
    if of_record:
        samples = signal.shape[-1]
        recorded = torch.full((len(signal),), samples) if batch.samples is None else batch.samples
        counted = present[..., None] & recorded_steps(recorded, samples)[:, None]
        number = counted.sum(dim=(1, 2), keepdim=True)
        mean = signal.sum(dim=(1, 2), keepdim=True) / number  # padding and what is taken are zero
        signal = (signal - mean).masked_fill(~counted, 0.0)
        deviation = (signal.square().sum(dim=(1, 2), keepdim=True) / number).sqrt()
        signal = signal / torch.where(deviation > SMALLEST_SCALE_MV, deviation, 1.0)
    return batch._replace(signal=signal, present=present.clone())


def score_lead_sets(
    classifier: Classifier,
    data: Split,
    shown: Sequence[Leads],
    *,
    batch_size: int,
    workers: int,
    accelerator: Accelerator,
) -> LeadScores:
    """Score the recordings that have all leads, once for each set of leads, on every process.

    They are read once. The classifier is left in evaluation mode.
    """
    architecture = classifier.architecture
    leads, of_record = architecture.preprocess.leads, architecture.preprocess.normalisation
    masks = [np.array([lead in some for lead in leads]) for some in shown]
    classifier.model.to(accelerator.device).eval()

    def compute(batch: Batch) -> Float[np.ndarray, "b sets_times_classes"]:
        with torch.inference_mode(), accelerator.autocast():
            found = [
                classifier.outputs(
                    keep_leads(batch, mask, of_record=of_record == "record"), accelerator.device
                ).logits.float()
                for mask in masks
            ]
        return torch.cat(found, dim=1).cpu().numpy()

    averaged = average_over_windows(
        data,
        compute,
        LoaderOptions(batch_size, min_leads=len(leads), workers=workers),
        accelerator=accelerator,
        name=f"score with {len(shown)} sets of leads",
    )
    width = len(shown) * len(architecture.classes)
    logits = averaged.values.reshape(-1, width).astype(np.float64)
    of_set = np.split(logits, len(shown), axis=1)
    return LeadScores(
        averaged.positions,
        {
            some: probabilities(
                values,
                multi_label=architecture.multi_label,
                calibration=architecture.calibration,
            )
            for some, values in zip(shown, of_set, strict=True)
        },
    )


def measure_lead_need(
    scores: Mapping[Leads, np.ndarray],
    labels: Bool[np.ndarray, "recordings classes"],
    patients: Sequence[str],
    *,
    classes: Sequence[str],
    generator: np.random.Generator,
    resamples: int = 1000,
) -> BootstrapScores:
    """Score each set of leads on the same resamples of patients, by `set_name`.

    `scores` are by the leads shown, all leads first: `differences` are what is lost without the
    others.
    """
    named = {set_name(shown): values for shown, values in scores.items()}
    return bootstrap_scores(
        labels, named, patients, classes=classes, generator=generator, resamples=resamples
    )


def check_lead_masking(corpus: Corpus, task: Task, preprocess: Preprocessor) -> None:
    """Raise InputError where no recording has all leads, or too few to tell a class apart."""
    part = task.evaluation
    present = Split(corpus, part.rows, preprocess).present(np.arange(len(part.rows)))
    has_all = np.all(present, axis=1)
    if not defined_classes(part.labels[has_all]).any():
        raise InputError(
            "lead_masking",
            value=f"{has_all.sum()} of {len(has_all)} evaluation recordings have all of "
            f"{set_name(preprocess.leads)}",
            expected="such recordings with and without a class",
            remedy="Give preprocess.leads that recordings have, or lead_masking=false.",
        )


def find_lead_need(
    results: ExperimentResults, corpus: Corpus, settings: FinetuneSettings, accelerator: Accelerator
) -> LeadNeed | None:
    """Find which leads the classifier in question needs; every process scores its share.

    The main process measures, and the others return None. Raises InputError as `bootstrap_scores`.
    """
    task, classifier = results.task, next(iter(results.by_candidate.values())).classifier
    assert classifier is not None, "every result of a comparison has its classifier"
    sets = lead_sets(classifier.architecture.preprocess.leads)
    found = score_lead_sets(
        classifier,
        Split(corpus, task.evaluation.rows, classifier.architecture.preprocess),
        sets.distinct(),
        batch_size=settings.batch_size,
        workers=settings.data_workers,
        accelerator=accelerator,
    )
    if not accelerator.is_main_process:
        return None
    part = task.evaluation.only(task.evaluation.rows[found.positions])
    measured = measure_lead_need(
        found.shown,
        part.labels,
        part.patients,
        classes=task.classes,
        generator=np.random.default_rng([settings.seed, 1]),
        resamples=settings.resamples,
    )
    return LeadNeed(sets, measured)


def set_name(shown: Leads) -> str:
    """Name a set of leads by all of them."""
    return ", ".join(shown)


def _of_device(read: Leads, device: Sequence[str]) -> tuple[Leads, Leads]:
    """Return what a classifier has something of among a device's leads, and what they give it."""
    limb = set(LEAD_GROUPS["limb"])
    spans = len(limb & set(device)) > 1  # any two limb leads give all
    given = tuple(lead for lead in read if lead in device or (spans and lead in limb))
    used = [lead for lead in given if lead in device]
    if len(used) < len(given):
        used += [lead for lead in device if lead in limb and lead not in used]
    return tuple(used), given


def _except(leads: Leads, taken: Sequence[str]) -> Leads:
    return tuple(lead for lead in leads if lead not in taken)

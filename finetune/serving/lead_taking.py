"""One recording answered again without some of the leads that a model reads.

A lead is taken though others may give it, as lead_masking of a run does for many recordings: what
is left is prepared, and normalised, as if it were all there is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lamae.ecg.leads import LEAD_GROUPS
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record
from lamae.pretrained.answers import Windows
from lamae.pretrained.cautions import without_flat_leads
from lamae.pretrained.pretrained import Pretrained
from lamae.statistics.probabilities import probabilities

_GROUPS = ("limb", "V1-V3", "precordial")


class Without(NamedTuple):
    """Probabilities without some leads."""

    taken: tuple[str, ...]
    """The leads."""
    probabilities: np.ndarray
    """(classes,)."""


def without_leads(
    model: Pretrained, record: Record, *, check: Callable[[], None] = lambda: None
) -> list[Without]:
    """Return what a classifier says of the first window without each lead, and without groups.

    `check` is called between two of them, and may raise.
    """
    record = without_flat_leads(record)
    whole = model.preprocess(record)
    wanted = model.preprocess.leads
    present = [lead for lead, has in zip(wanted, whole.present, strict=True) if has]
    sets: list[tuple[str, ...]] = [(lead,) for lead in present]
    sets += [
        some
        for group in _GROUPS
        if 1 < len(some := tuple(x for x in present if x in LEAD_GROUPS[group])) < len(present)
    ]
    if len(present) == 1:
        return []
    found = []
    for taken in ((), *sets):
        check()
        windows = shown_alone(model.preprocess, record, [x for x in present if x not in taken])
        logits = model.outputs(windows).logits
        assert logits is not None, "a classifier has logits"
        values = probabilities(logits[0].astype(np.float64), multi_label=model.multi_label)
        found.append(Without(taken, values))
    return found


def shown_alone(preprocess: Preprocessor, record: Record, kept: list[str]) -> Windows:
    """Return the first window of a recording as a model reads it with some of its leads only."""
    fewer = preprocess.model_copy(update={"leads": tuple(kept)})
    prepared = fewer(record)
    rows = [preprocess.leads.index(lead) for lead in kept]
    signal = np.zeros((1, len(preprocess.leads), preprocess.samples), dtype=np.float32)
    present = np.zeros((1, len(preprocess.leads)), dtype=bool)
    signal[0, rows], present[0, rows] = prepared.signal, prepared.present
    return Windows(signal, present, np.array([prepared.samples]))

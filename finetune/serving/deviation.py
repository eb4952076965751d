"""Deviations of a recording from the expectation of a masked autoencoder or of a detector."""

from typing import NamedTuple

import numpy as np
import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor

from finetune.anomaly.detector.detectors import deviations
from finetune.anomaly.detector.masked_error import complementary_masks
from finetune.anomaly.evaluation.picture import BIN_S, binned
from finetune.prediction.pretrained_classifier import as_batch
from finetune.prediction.pretrained_detector import PretrainedDetector
from finetune.serving.answers import Deviation, Segment
from finetune.serving.paper import Drawn
from lamae.ecg.record import Record
from lamae.model.autoencoder import LAMAE
from lamae.model.masking import Mask
from lamae.model.pretrained_encoder import PretrainedEncoder
from lamae.model.recorded import recorded_parts
from lamae.pretrained.answers import Windows
from lamae.pretrained.cautions import without_flat_leads
from lamae.pretrained.pretrained import Pretrained

Watcher = PretrainedEncoder | PretrainedDetector
"""Models that expect something of a recording."""

_FAINT = {"mV": 0.05, "SD": 1.0}
_FULL = {"mV": 0.4, "SD": 5.0}
"""Deviations at which the colour begins, and from which on it is full."""
_MOST_SEGMENTS = 5


class Watched(NamedTuple):
    """A recording as a model reads it, and what the model expects of it."""

    deviation: Deviation
    """Numbers."""
    heat: Drawn
    """The recording, with the deviation behind it."""
    expected: Drawn | None
    """The recording, with what the autoencoder expects; None of other detectors."""


def can_watch(model: Pretrained) -> bool:
    """Tell a model that expects something of a recording."""
    return isinstance(model, Watcher)


def watch(model: Watcher, record: Record) -> Watched:
    """Compare the first window of a recording with what a model expects of it.

    Raises RecordError for a recording that cannot be used.
    """
    preprocess = model.preprocess
    prepared = preprocess(without_flat_leads(record))
    windows = Windows(prepared.signal[None], prepared.present[None], np.array([prepared.samples]))
    shown = prepared.present[:, None] & (np.arange(preprocess.samples) < prepared.samples)
    network = _autoencoder(model)
    expected_mv, unit = None, "mV"
    if network is None:
        assert isinstance(model, PretrainedDetector)
        squares = deviations(model.loaded.detector, as_batch(windows))[1][0]
        unit = "SD" if model.loaded.detector.architecture.kind == "vae_bilstm" else "mV"
        distance = np.sqrt(squares) * (prepared.scale_mv[:, None] if unit == "mV" else 1.0)
    else:
        drawn = expected_signal(network, windows, preprocess.leads)[0].numpy()
        expected_mv = np.where(shown, prepared.millivolts(drawn), np.nan)
        distance = np.abs(drawn - prepared.signal) * prepared.scale_mv[:, None]
    signal_mv = np.where(shown, prepared.millivolts(prepared.signal), np.nan)
    distance = np.where(shown, distance, 0.0)
    score = model.answer(record, min_leads=1).score
    fields = binned(distance, preprocess.sampling_rate)
    heat = np.clip((fields - _FAINT[unit]) / (_FULL[unit] - _FAINT[unit]), 0.0, 1.0)
    rows = {lead: i for i, lead in enumerate(preprocess.leads) if prepared.present[i]}
    traces = {lead: signal_mv[i] for lead, i in rows.items()}
    rate = preprocess.sampling_rate
    field_s = max(1, round(BIN_S * rate)) / rate
    counted = max(prepared.samples, 1)
    deviation = Deviation(
        watcher=model.name,
        unit=unit,
        score=score,
        threshold=next(iter(model.thresholds.values()), None),
        by_lead={lead: float(distance[i].sum() / counted) for lead, i in rows.items()},
        segments=_segments(fields, rows, field_s, faint=_FAINT[unit]),
        seconds=prepared.samples / rate,
    )
    expected = None
    if expected_mv is not None:
        expected = Drawn(traces, rate, {lead: expected_mv[i] for lead, i in rows.items()})
    heats = {lead: heat[i] for lead, i in rows.items()}
    return Watched(deviation, Drawn(traces, rate, heat=heats, field_s=field_s), expected)


@torch.inference_mode()
def expected_signal(
    network: LAMAE, windows: Windows, leads: tuple[str, ...], *, masks: int = 4
) -> Float[Tensor, "b l samples"]:
    """Return windows as an autoencoder expects each patch by the others, the mean over masks.

    Of each lead a patch is visible in one of the masks and hidden in all others, as few are seen
    as in training. With normalised targets a patch has the offset and the scale of the recording.
    """
    device = next(network.parameters()).device
    size = network.settings.encoder.patch_size
    signal = torch.from_numpy(windows.signal).to(device)
    patches = signal.shape[-1] // size
    recorded = recorded_parts(
        torch.from_numpy(windows.present),
        torch.from_numpy(windows.samples),
        patches=patches,
        patch_size=size,
    ).to(device)
    total, times = torch.zeros_like(signal), torch.zeros_like(signal)
    for visible in complementary_masks(len(leads), patches, masks=min(masks, patches)):
        mask = Mask(repeat(visible, "l v -> b l v", b=len(signal)).to(device))
        found = network(signal, leads, mask=mask, recorded=recorded)
        hidden = repeat(found.hidden, "b l n -> b l (n p)", p=size)
        total += network.signal_from(found.patches.float(), signal) * hidden
        times += hidden
    return (total / times.clamp(min=1)).cpu()


def _autoencoder(model: Watcher) -> LAMAE | None:
    network = model.model if isinstance(model, PretrainedEncoder) else model.loaded.detector.network
    return network if isinstance(network, LAMAE) else None


def _segments(
    fields: Float[np.ndarray, "leads fields"], rows: dict[str, int], field_s: float, *, faint: float
) -> list[Segment]:
    """Return the stretches with the largest fields, one for each run of fields that deviate."""
    found = []
    for lead, row in rows.items():
        above = np.concatenate([[False], fields[row] > faint, [False]])
        edges = np.flatnonzero(np.diff(above.astype(np.int8))).reshape(-1, 2)
        for begin, end in edges.tolist():
            worst = float(fields[row, begin:end].max())
            span = {"begin_s": begin * field_s, "end_s": end * field_s}
            found.append(Segment(lead=lead, deviation=worst, **span))
    return sorted(found, key=lambda one: -one.deviation)[:_MOST_SEGMENTS]

"""Simulated 12-lead ECGs with known diagnoses, in the on-disk layout of MIMIC-IV-ECG."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from lamae.errors import InputError
from lamae.files import whole_folder
from lamae.runs.tracking import write_summary
from shards.processes import map_tasks
from shards.simulator.dipole import all_leads, lead_matrix, render_waves
from shards.simulator.ecg_classes import CLASSES
from shards.simulator.heartbeat import (
    WAVES,
    Intervals,
    fibrillatory_waves,
    lay_out_beats,
    place_waves,
    true_intervals,
)
from shards.simulator.mimic_layout import (
    MEASUREMENTS,
    NOT_MEASURED,
    RECORD_LIST,
    Study,
    write_studies,
    write_table,
)
from shards.simulator.noise import draw_noise
from shards.simulator.patients import draw_traits
from shards.simulator.rhythm import draw_beats, draw_respiration
from shards.simulator.settings import NoiseSettings, SimulateSettings

_CHUNK = 48
"""Patients that one generator draws; the result depends on it, so it is no setting."""
_LABELS = ("study_id", "subject_id", "class")
_P_ONSET_MS = 40
_BREATHING_DEPTH = 0.04


class Simulated(NamedTuple):
    """Simulated records and what is true of them."""

    signal_mv: np.ndarray
    """float32 (records, 12 of LEADS, samples)."""
    intervals: Intervals
    """True intervals and axes of each record."""
    r_peak_s: tuple[np.ndarray, ...]
    """Times of the R peaks in each record."""


class Chunk(NamedTuple):
    """Studies that one generator draws."""

    number: int
    """Place in the data set, which with the seed determines the draws."""
    codes: tuple[str, ...]
    """Class of each study."""
    studies: tuple[Study, ...]
    """The studies; all of a patient are in one chunk."""


def simulate_signals(
    codes: Sequence[str],
    *,
    generator: np.random.Generator,
    sampling_rate: int = 500,
    duration_s: float = 10.0,
    noise: NoiseSettings | None = None,
    patients: Sequence[int] | None = None,
) -> Simulated:
    """Simulate one record per class code.

    Args:
        codes: classes, each a key of `CLASSES`.
        generator: source of all draws.
        sampling_rate: samples per second.
        duration_s: length of a record.
        noise: levels of the noise; None for those of `NoiseSettings`.
        patients: number of each record's patient; None for one patient per record.

    Raises InputError for an unknown class.
    """
    _check_codes(codes)
    samples = round(duration_s * sampling_rate)
    numbers = np.arange(len(codes)) if patients is None else np.asarray(patients)
    traits = draw_traits(codes, numbers, waves=WAVES, generator=generator)
    respiration = draw_respiration(len(codes), generator)
    fibrillating = np.array([CLASSES[code].fibrillating for code in codes])
    beats = draw_beats(
        traits.rr_s,
        respiration,
        fibrillating=fibrillating,
        premature=np.array([bool(CLASSES[code].premature) for code in codes]),
        compensated=np.array([code == "PVC" for code in codes]),
        duration_s=duration_s,
        generator=generator,
    )
    heartbeats = lay_out_beats(codes, traits, beats)
    waves = place_waves(heartbeats, traits)
    sources = render_waves(*waves, sampling_rate=sampling_rate, samples=samples)
    breathing = respiration.at(np.arange(samples) / sampling_rate)[:, None]
    sources *= (1 + _BREATHING_DEPTH * breathing).astype(np.float32)
    sources[:, :3] += fibrillatory_waves(
        fibrillating, sampling_rate=sampling_rate, samples=samples, generator=generator
    )
    leads = lead_matrix() * traits.lead_gain[..., None].astype(np.float32)
    independent = leads @ sources
    independent += draw_noise(
        noise or NoiseSettings(),
        respiration,
        sampling_rate=sampling_rate,
        samples=samples,
        generator=generator,
    )
    inside = (beats.time_s >= 0) & (beats.time_s < duration_s)
    return Simulated(
        all_leads(independent),
        true_intervals(heartbeats, traits, beats, duration_s=duration_s),
        tuple(row[kept] for row, kept in zip(beats.time_s, inside, strict=True)),
    )


def simulate(settings: SimulateSettings) -> dict[str, object]:
    """Write a simulated data set with its `summary.json`; returns where it is, and its counts.

    Raises InputError if the output folder holds something.
    """
    started = time.monotonic()
    chunks = _plan(settings)
    rows: list[dict[str, object]] = []
    bar = tqdm(total=settings.records, unit="record", desc="simulate")
    _refuse_to_overwrite(settings.output)
    with whole_folder(settings.output) as folder, bar:
        write = partial(_write_chunk, settings, folder)
        for measured in map_tasks(write, chunks, processes=settings.workers):
            rows += measured
            bar.update(len(measured))
        write_table(folder / "record_list.csv", RECORD_LIST, rows)
        write_table(folder / "machine_measurements.csv", MEASUREMENTS, rows)
        write_table(folder / "labels.csv", _LABELS, rows)
        results: dict[str, object] = {
            "seed": settings.seed,
            "records": len(rows),
            "patients": len({row["subject_id"] for row in rows}),
            "classes": dict(Counter(str(row["class"]) for row in rows)),
            "seconds": round(time.monotonic() - started, 1),
        }
        write_summary(folder, settings, **results)
    return {"output": str(settings.output), **results}


def _check_codes(codes: Sequence[str]) -> None:
    unknown = sorted(set(codes) - set(CLASSES))
    if unknown or not len(codes):
        raise InputError(
            "ECG classes",
            value=unknown or "none",
            expected=f"some of {', '.join(CLASSES)}",
            remedy="Correct the class codes.",
        )


def _plan(settings: SimulateSettings) -> list[Chunk]:
    """Draw who is recorded, when, and with which diagnosis."""
    generator = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(0,)))
    counts = generator.integers(1, 4, settings.records)
    people = int(np.searchsorted(np.cumsum(counts), settings.records)) + 1
    patient = np.repeat(np.arange(people), counts[:people])[: settings.records]
    rounds = -(-people // len(settings.classes))
    dealt = generator.permuted(np.tile(np.arange(len(settings.classes)), (rounds, 1)), axis=1)
    code = [settings.classes[i] for i in dealt.ravel()[patient]]
    subject_id = 10_000_000 + generator.choice(10_000_000, people, replace=False)
    study_id = 40_000_000 + generator.choice(10_000_000, settings.records, replace=False)
    day = generator.integers(0, 36_500, people)[patient] + generator.integers(0, 3650, len(patient))
    second = generator.integers(0, 86_400, len(patient))
    epoch = datetime(2110, 1, 1)
    studies = [
        Study(int(subject), int(study), epoch + timedelta(days=int(d), seconds=int(s)))
        for subject, study, d, s in zip(subject_id[patient], study_id, day, second, strict=True)
    ]
    edges = np.searchsorted(patient, np.arange(0, people + _CHUNK, _CHUNK))
    return [
        Chunk(number, tuple(code[start:stop]), tuple(studies[start:stop]))
        for number, (start, stop) in enumerate(pairwise(edges))
        if stop > start
    ]


def _write_chunk(settings: SimulateSettings, folder: Path, chunk: Chunk) -> list[dict[str, object]]:
    """Simulate and write one chunk; return a row for the tables per study."""
    seed = np.random.SeedSequence(settings.seed, spawn_key=(1, chunk.number))
    simulated = simulate_signals(
        chunk.codes,
        generator=np.random.default_rng(seed),
        sampling_rate=settings.sampling_rate,
        duration_s=settings.duration_s,
        noise=settings.noise,
        patients=[study.subject_id for study in chunk.studies],
    )
    write_studies(folder, chunk.studies, simulated.signal_mv, sampling_rate=settings.sampling_rate)
    return [
        {**study.columns, "class": code, **_measurements(code, simulated.intervals, i)}
        for i, (study, code) in enumerate(zip(chunk.studies, chunk.codes, strict=True))
    ]


def _measurements(code: str, intervals: Intervals, record: int) -> dict[str, object]:
    """Return what a cart would print: ms within a median beat, and degrees."""
    true = {name: float(values[record]) for name, values in intervals._asdict().items()}
    has_p = not np.isnan(true["pr_ms"])
    qrs_onset = _P_ONSET_MS + (true["pr_ms"] if has_p else 160.0)
    values = {
        "rr_interval": true["rr_ms"],
        "p_onset": _P_ONSET_MS if has_p else NOT_MEASURED,
        "p_end": _P_ONSET_MS + true["p_ms"] if has_p else NOT_MEASURED,
        "qrs_onset": qrs_onset,
        "qrs_end": qrs_onset + true["qrs_ms"],
        "t_end": qrs_onset + true["qt_ms"],
        "p_axis": true["p_axis_deg"] if has_p else NOT_MEASURED,
        "qrs_axis": true["qrs_axis_deg"],
        "t_axis": true["t_axis_deg"],
    }
    reports = {f"report_{i}": text for i, text in enumerate(CLASSES[code].reports)}
    cart = {"cart_id": 0, "bandwidth": "0.005-150 Hz", "filtering": "none"}
    return {**cart, **reports, **{name: round(value) for name, value in values.items()}}


def _refuse_to_overwrite(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(
            f"output folder {output}",
            value="not empty",
            expected="an empty folder, or none",
            remedy="Delete it, or name another with output=<folder>.",
        )

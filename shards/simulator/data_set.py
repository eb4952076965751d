"""Simulated 12-lead ECGs with known diagnoses, in the on-disk layout of MIMIC-IV-ECG."""

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lamae.errors import InputError
from lamae.files import whole_folder
from lamae.runs.tracking import write_summary
from shards.processes import map_tasks
from shards.simulator.banks import banks_of
from shards.simulator.ecg_classes import CLASSES
from shards.simulator.heartbeat import Intervals
from shards.simulator.mimic_layout import NOT_MEASURED, Row, Study, write_studies, write_tables
from shards.simulator.settings import SimulateSettings
from shards.simulator.signals import simulate_signals

_CHUNK = 48
"""Patients that one generator draws; the result depends on it, so it is no setting."""
_P_ONSET_MS = 40


class Chunk(NamedTuple):
    """Studies that one generator draws."""

    number: int
    """Place in the data set, which with the seed determines the draws."""
    codes: tuple[str, ...]
    """Class of each study."""
    studies: tuple[Study, ...]
    """The studies; all of a patient are in one chunk."""


def simulate(settings: SimulateSettings) -> dict[str, object]:
    """Write a simulated data set with its `summary.json`; returns where it is, and its counts.

    Raises InputError if the output folder holds something.
    """
    started = time.monotonic()
    _refuse_to_overwrite(settings.output)
    bar = tqdm(total=settings.records, unit="record", desc="simulate")
    with bar, whole_folder(settings.output) as folder:
        write = partial(_write_chunk, settings, folder)
        chunks = plan_chunks(settings)
        results: dict[str, object] = {"seed": settings.seed}
        results |= write_tables(
            folder, _told(map_tasks(write, chunks, processes=settings.workers), bar)
        )
        results["seconds"] = round(time.monotonic() - started, 1)
        write_summary(folder, settings, **results)
    return {"output": str(settings.output), **results}


def _told(chunks: Iterable[list[Row]], bar: "tqdm[Any]") -> Iterator[list[Row]]:
    for rows in chunks:
        yield rows
        bar.update(len(rows))


def plan_chunks(settings: SimulateSettings) -> list[Chunk]:
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


def _write_chunk(settings: SimulateSettings, folder: Path, chunk: Chunk) -> list[Row]:
    """Simulate and write one chunk; return a row for the tables per study."""
    if settings.banks is not None:
        write_recordings(settings, folder, chunk.studies, chunk.codes)
        return table_rows(settings, chunk)
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
    return _rows(chunk, simulated.intervals)


def write_recordings(
    settings: SimulateSettings, folder: Path, studies: Sequence[Study], codes: Sequence[str]
) -> None:
    """Write recordings from the banks: whichever are written together, they are the same."""
    banks = banks_of(settings)
    for start in range(0, len(studies), _CHUNK):
        some, own = studies[start : start + _CHUNK], codes[start : start + _CHUNK]
        signal_mv = banks.signals_mv(banks.draw(some, own))
        write_studies(folder, some, signal_mv, sampling_rate=settings.sampling_rate)


def table_rows(settings: SimulateSettings, chunk: Chunk) -> list[Row]:
    """Return a row for the tables per study, of recordings from the banks."""
    banks = banks_of(settings)
    return _rows(chunk, banks.intervals(banks.draw(chunk.studies, chunk.codes)))


def _rows(chunk: Chunk, intervals: Intervals) -> list[Row]:
    return [
        {**study.columns, "class": code, **_measurements(code, intervals, i)}
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

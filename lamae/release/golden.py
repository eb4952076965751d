"""Golden vectors: simulated recordings, and what came out of every stage when a model was released.

They are computed again whenever the model is opened, in milliseconds. The first stage that differs
is named, so that another filter is not taken for other weights.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record
from lamae.errors import InputError, RecordError
from lamae.files import open_whole, unreadable
from lamae.release.simulated import simulated_records

GOLDEN = "golden.safetensors"
"""Holds the recordings, and what came out."""

STAGES = MappingProxyType(
    {
        "reader": "Integers, gain and baseline become other millivolts: use the lamae that the "
        "release asks for.",
        "leads": "Leads are chosen, ordered or derived in another way: compare preprocess.leads.",
        "resample": "Another rate, or another way to it: compare preprocess.sampling_rate, and the "
        "version of scipy.",
        "filter": "Another pass band: compare preprocess.band_hz, and the version of scipy.",
        "normalise": "Another normalisation or window: compare preprocess.normalisation and "
        "preprocess.duration_s.",
        "network": "Weights or architecture are not those of the release: copy its folder again.",
    }
)
"""Stages in their order, each with the remedy where it is the first that differs."""

TOLERANCE = 2e-5
"""Largest difference, as a share of the largest value: some 20 times that of other machines."""
TOLERANCE_OF_DEVICES = 1e-2
"""The same of a network on a GPU, which multiplies in TF32."""

_SHOWN = 24
_ABOUT, _REFUSED = "lamae", "refused"


@runtime_checkable
class Model(Protocol):
    """The part of an opened model that golden vectors need."""

    preprocess: Preprocessor
    """From a recording to the array that it reads."""

    def answer(self, record: Record, *, min_leads: int | None = None) -> Any:
        """Return its `probabilities`, `score` and `embedding` of a recording, None where none."""


class Golden(NamedTuple):
    """The content of the file."""

    records: tuple[Record, ...]
    """The recordings."""
    outcomes: tuple[dict[str, dict[str, np.ndarray]], ...]
    """For each recording the arrays of each stage, by stage and name."""
    refusals: tuple[tuple[str, str] | None, ...]
    """For each recording the stage at which it is refused, and the reason, if it is."""

    def wanted(self, number: int, stage: str) -> dict[str, np.ndarray] | str | None:
        """Return a stage's arrays, or why it refused; None if an earlier stage refused."""
        refusal = self.refusals[number]
        if refusal and refusal[0] == stage:
            return refusal[1]
        return self.outcomes[number].get(stage)

    @property
    def embedding_width(self) -> int | None:
        """Numbers of an embedding; None of a model that gives none."""
        found = [one.get("network", {}).get("embedding") for one in self.outcomes]
        widths = [len(embedding) for embedding in found if embedding is not None]
        return widths[0] if widths else None


def golden_of(model: Model) -> Golden:
    """Compute what comes out of every stage for the simulated recordings."""
    records = simulated_records(model.preprocess.duration_s)
    outcomes: list[dict[str, dict[str, np.ndarray]]] = []
    refusals: list[tuple[str, str] | None] = []
    for record in records:
        found = dict(_stages(model, record))
        refused = {stage: reason for stage, reason in found.items() if isinstance(reason, str)}
        refusals.append(next(iter(refused.items()), None))
        outcomes.append({s: arrays for s, arrays in found.items() if not isinstance(arrays, str)})
    return Golden(records, tuple(outcomes), tuple(refusals))


def write_golden(folder: Path, golden: Golden) -> None:
    """Write golden vectors into a folder."""
    tensors: dict[str, np.ndarray] = {}
    about = []
    for number, (record, outcome, refusal) in enumerate(zip(*golden, strict=True)):
        tensors[f"{number}/digital"] = record.digital
        for stage, arrays in outcome.items():
            tensors |= {f"{number}/{stage}/{name}": array for name, array in arrays.items()}
        facts = {name: getattr(record, name) for name in ("name", "leads", "gain", "baseline")}
        about.append(facts | {"sampling_rate": record.sampling_rate, _REFUSED: refusal})
    metadata = {_ABOUT: json.dumps({"origin": "simulated", "recordings": about})}
    in_order = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    with open_whole(folder / GOLDEN) as file:
        file.write(save(in_order, metadata))


def read_golden(folder: Path) -> Golden:
    """Read the golden vectors of a folder; raises InputError where they cannot be read."""
    path = folder / GOLDEN
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {})[_ABOUT])["recordings"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        records = tuple(_record(facts, tensors[f"{n}/digital"]) for n, facts in enumerate(about))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise unreadable(path, error, expected="golden vectors of a release") from None
    outcomes: tuple[dict[str, dict[str, np.ndarray]], ...] = tuple({} for _ in about)
    for name, array in tensors.items():
        number, stage, *of = name.split("/")
        if of:
            outcomes[int(number)].setdefault(stage, {})[of[0]] = array
    refusals = tuple(tuple(one[_REFUSED]) if one[_REFUSED] else None for one in about)
    return Golden(records, outcomes, refusals)


def check_golden(folder: Path, model: Model) -> None:
    """Compute the golden vectors of a release again; a folder without any is left alone.

    Raises InputError that names the first stage that differs.
    """
    if not (folder / GOLDEN).is_file():
        return
    golden = read_golden(folder)
    device = str(getattr(model, "device", "cpu"))
    again = [_stages(model, record) for record in golden.records]
    for stage in STAGES:
        loose = stage == "network" and not device.startswith("cpu")
        tolerance = TOLERANCE_OF_DEVICES if loose else TOLERANCE
        for number, record in enumerate(golden.records):
            wanted = golden.wanted(number, stage)
            if wanted is None:
                continue
            found = next(again[number], (stage, "nothing"))[1]
            if difference := _difference(found, wanted, tolerance=tolerance):
                raise InputError(
                    f"model {folder.name}, stage {stage!r} of recording {record.name}",
                    value=difference,
                    expected=f"the golden vectors of its release, in {GOLDEN}",
                    remedy=STAGES[stage],
                )


def is_simulated(golden: Golden, *, window_s: float) -> bool:
    """Say whether recordings are the simulated ones, to a unit of their integers."""
    drawn = simulated_records(window_s)
    return len(golden.records) == len(drawn) and all(
        one.leads == two.leads
        and one.name == two.name
        and one.digital.shape == two.digital.shape
        and bool((np.abs(one.digital.astype(int) - two.digital) <= 1).all())
        for one, two in zip(golden.records, drawn, strict=True)
    )


def _stages(model: Model, record: Record) -> Iterator[tuple[str, dict[str, np.ndarray] | str]]:
    """Yield each stage with its arrays; the last one with a reason, where it is refused."""
    preprocess, rate = model.preprocess, record.sampling_rate
    resampled = preprocess.model_copy(update={"band_hz": None})
    selected: list[np.ndarray] = []

    def leads() -> dict[str, np.ndarray]:
        signal, present = preprocess.select(record)
        selected.append(signal)
        return _sketch(signal) | {"present": present}

    steps: tuple[Callable[[], dict[str, np.ndarray]], ...] = (
        lambda: _sketch(record.signal_mv()),
        leads,
        lambda: _sketch(resampled.filter(selected[0], sampling_rate=rate)),
        lambda: _sketch(preprocess.filter(selected[0], sampling_rate=rate)),
        partial(_normalised, preprocess, record),
        partial(_answered, model, record),
    )
    for stage, compute in zip(STAGES, steps, strict=True):
        try:
            yield stage, compute()
        except RecordError as error:
            yield stage, error.reason
            return


def _normalised(preprocess: Preprocessor, record: Record) -> dict[str, np.ndarray]:
    prepared = preprocess(record)
    return _sketch(prepared.signal) | {
        "scale": np.stack([prepared.offset_mv, prepared.scale_mv]),
        "samples": np.array([prepared.samples]),
    }


def _answered(model: Model, record: Record) -> dict[str, np.ndarray]:
    answer = model.answer(record, min_leads=1)
    found = {name: getattr(answer, name) for name in ("probabilities", "score", "embedding")}
    return {
        name: np.atleast_1d(np.asarray(value, dtype=np.float32))
        for name, value in found.items()
        if value is not None
    }


def _sketch(signal: np.ndarray) -> dict[str, np.ndarray]:
    """Return a few samples of each lead, the first and the last among them, and two moments."""
    shown = np.linspace(0, signal.shape[1] - 1, _SHOWN).round().astype(int)
    moments = [moment(signal, axis=1, dtype=np.float64) for moment in (np.nanmean, np.nanstd)]
    sketch = np.concatenate([signal[:, shown], np.array(moments).T], axis=1)
    return {"shape": np.array(signal.shape), "signal": sketch.astype(np.float32)}


def _difference(
    found: Mapping[str, np.ndarray] | str,
    expected: Mapping[str, np.ndarray] | str,
    *,
    tolerance: float,
) -> str | None:
    """Say how far two outcomes of a stage are apart; None where they are not."""
    if isinstance(found, str) or isinstance(expected, str):
        refused, accepted = (x if isinstance(x, str) else "accepted" for x in (found, expected))
        return None if refused == accepted else f"{refused} instead of {accepted}"
    for name, wanted in expected.items():
        if name not in found or found[name].shape != wanted.shape:
            shape = found[name].shape if name in found else "nothing"
            return f"{name} of shape {shape} instead of {wanted.shape}"
        if wanted.dtype.kind != "f":
            if not np.array_equal(found[name], wanted):
                return f"{name} {found[name].tolist()} instead of {wanted.tolist()}"
            continue
        largest = float(np.nanmax(np.abs(wanted), initial=0.0)) or 1.0
        if not np.allclose(found[name], wanted, rtol=0, atol=tolerance * largest, equal_nan=True):
            apart = float(np.nanmax(np.abs(found[name] - wanted), initial=0.0))
            return f"{name} differs by {apart:.2g}, at values of up to {largest:.2g}"
    return None


def _record(facts: Mapping[str, Any], digital: np.ndarray) -> Record:
    return Record(
        name=facts["name"],
        digital=digital,
        leads=tuple(facts["leads"]),
        sampling_rate=facts["sampling_rate"],
        gain=tuple(facts["gain"]),
        baseline=tuple(facts["baseline"]),
    )

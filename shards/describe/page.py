"""Content of a folder of shards as numbers, figures and a page for people."""

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pyarrow.compute as pc
import yaml
from markupsafe import Markup
from matplotlib.figure import Figure

from lamae.ecg.leads import LEADS
from lamae.figures.clinical import SECONDS
from lamae.figures.pages import write_page
from lamae.figures.plots import as_svg, save_png
from lamae.files import write_json
from lamae.storage.corpus import INDEX, Corpus
from lamae.storage.index import Index
from lamae.storage.samples import SPLITS, sample_key
from shards.describe.about import Facts, known_facts
from shards.describe.examples import Examples, flagged_examples, rejected_examples
from shards.describe.figures import (
    MOST_CLASSES,
    class_bars,
    duration_histogram,
    einthoven_histogram,
    lead_ranges,
    number_histogram,
)
from shards.describe.settings import DESCRIPTION, DescribeSettings
from shards.describe.signals import (
    SignalMeasures,
    describe_measures,
    distribution,
    measure_signals,
)

_ROWS_OF_A_TABLE = 8
_DOTS_PER_INCH = 100


class _Drawing(TypedDict):
    most: int
    generator: np.random.Generator


class _Rows:
    """The columns of the index that are described: numbers, and texts as numbers of them."""

    def __init__(self, folder: Path) -> None:
        index = Index(folder / INDEX)
        self.split, self.splits = index.categories("split")
        self.patient = pc.index_in(*2 * (index.texts("patient_id"),)).to_numpy()
        self.codecs = sorted(index.categories("codec").names)
        self.leads, names = index.lead_sets
        self.lead_sets = [name.split(",") if name else [] for name in names]
        self.samples, self.rate, self.missing, self.bytes = (
            index.numbers(name).astype(np.int64)
            for name in ("samples", "sampling_rate", "missing_samples", "bytes")
        )
        counts = np.array([len(leads) for leads in self.lead_sets], dtype=np.int64)
        self.values = self.samples * counts[self.leads]
        self.duration_s = self.samples / self.rate
        self.gains = Counter[float]()
        for batch in index.batches("gain"):
            values = batch.column(0).flatten().value_counts()
            for each in values:
                self.gains[each["values"].as_py()] += each["counts"].as_py()
        self.flags = _rows_by_flag(index)


def _rows_by_flag(index: Index) -> dict[str, np.ndarray]:
    """Return the rows of each flag."""
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    start = 0
    for batch in index.batches("flags"):
        lists = batch.column(0)
        owners = start + pc.list_parent_indices(lists).to_numpy()
        flags = lists.flatten()
        for flag in flags.unique().to_pylist():
            rows[flag].append(owners[pc.equal(flags, flag).to_numpy(zero_copy_only=False)])
        start += len(lists)
    return {flag: np.concatenate(found) for flag, found in rows.items()}


class _Shown(NamedTuple):
    """An example as the page shows it."""

    name: str
    text: str
    missing: str
    file: str | None
    image: str | None
    """The PNG in Base64."""


class _Reason(NamedTuple):
    """A reason with its examples."""

    name: str
    number: int
    shown: list[_Shown]


def describe_shards(settings: DescribeSettings) -> dict[str, Any]:
    """Write description.json, description.html and their figures; returns what the former holds.

    Raises InputError for a folder that is no corpus, or a damaged one.
    """
    corpus, rows = Corpus(settings.data), _Rows(settings.data)
    output = settings.page.parent
    generator = np.random.default_rng(settings.seed)
    count = min(settings.measured, len(corpus))
    chosen = np.sort(generator.choice(len(corpus), count, replace=False))
    measures = measure_signals(corpus.record(int(row)) for row in chosen)
    description = {
        **_numbers(settings.data, corpus, rows),
        "measured": {"seed": settings.seed, "records": count, **describe_measures(measures)},
    }
    named = corpus.manifest.get("config", {}).get("about_columns") or ()
    facts = known_facts(settings.data, named)
    description["about"] = {each.name: _about(each) for each in facts}
    figures = dict(_figures(description["label_sets"], rows, measures))
    figures |= dict(_fact_figures(facts))
    for name, figure in figures.items():
        save_png(figure, output / f"{name}.png")
    drawing: _Drawing = {"most": settings.examples, "generator": generator}
    flagged = _saved(output, "flagged", flagged_examples(corpus, rows.flags, **drawing))
    rejected = _saved(output, "rejected", rejected_examples(settings.data, **drawing))
    write_json(output / f"{DESCRIPTION}.json", description)
    write_page(
        output / f"{DESCRIPTION}.html",
        Path(__file__).with_name("page.html.j2"),
        found=description,
        svg={name: Markup(as_svg(figure)) for name, figure in figures.items()},
        flagged=flagged,
        rejected=rejected,
        seconds=SECONDS,
        most_classes=MOST_CLASSES,
        config=yaml.safe_dump(corpus.manifest.get("config", {}), sort_keys=False),
        versions=corpus.manifest.get("versions", {}),
        number=_number,
    )
    return description


def _numbers(folder: Path, corpus: Corpus, rows: _Rows) -> dict[str, Any]:
    manifest = corpus.manifest
    splits = {
        split: _totals(rows, rows.split == rows.splits.index(split))
        for split in SPLITS
        if split in rows.splits
    }
    return {
        "folder": str(folder.resolve()),
        **_totals(rows, np.ones(len(corpus), dtype=bool)),
        "splits": {split: total for split, total in splits.items() if total["records"]},
        "recordings": {
            "sampling_rate": _frequent(rows.rate, lambda rate: f"{rate} Hz"),
            "duration": _frequent(rows.duration_s, lambda duration: f"{duration:.4g} s"),
            "leads": _frequent(rows.leads, lambda code: _lead_set(rows.lead_sets[code])),
            "gain": _most_frequent(
                (f"{gain:.7g} per mV", number) for gain, number in rows.gains.items()
            ),
        },
        "label_sets": manifest.get("label_sets", {}),
        "rejects": manifest.get("rejects", {}),
        "flags": manifest.get("flags", {}),
        "left_out": manifest.get("left_out", 0),
        "missing": {
            "share": float(rows.missing.sum() / max(1, rows.values.sum())),
            "records": int(np.count_nonzero(rows.missing)),
            "records_above_10_percent": int(np.count_nonzero(rows.missing > 0.1 * rows.values)),
        },
        "size": _size(rows, manifest["shards"]),
    }


def _totals(rows: _Rows, chosen: np.ndarray) -> dict[str, Any]:
    return {
        "records": int(np.count_nonzero(chosen)),
        "patients": len(np.unique(rows.patient[chosen])),
        "hours": round(float(rows.duration_s[chosen].sum() / 3600), 3),
    }


def _size(rows: _Rows, shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    raw, signals = int(2 * rows.values.sum()), int(rows.bytes.sum())
    return {
        "shards": len(shards),
        "codec": ", ".join(rows.codecs),
        "bytes": sum(int(shard["bytes"]) for shard in shards),
        "signal_bytes": signals,
        "raw_bytes": raw,
        "compression": round(raw / max(1, signals), 3),
    }


def _frequent(values: np.ndarray, name: Callable[[Any], str]) -> dict[str, int]:
    """Count values by name, in the order of their first rows where they are as frequent."""
    different, first, times = np.unique(values, return_index=True, return_counts=True)
    order = np.argsort(first)
    pairs = zip(different[order].tolist(), times[order].tolist(), strict=True)
    return _most_frequent((name(value), number) for value, number in pairs)


def _most_frequent(counted: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Add up by name, the most frequent first; rare ones together as `n others`."""
    total = Counter[str]()
    for name, number in counted:
        total[name] += number
    counts = total.most_common()
    kept = counts if len(counts) <= _ROWS_OF_A_TABLE else counts[: _ROWS_OF_A_TABLE - 1]
    rest = counts[len(kept) :]
    others = {f"{len(rest)} others": sum(count for _, count in rest)} if rest else {}
    return {**dict(kept), **others}


def _lead_set(leads: Sequence[str]) -> str:
    absent = [lead for lead in LEADS if lead not in leads]
    if not absent:
        return "all 12"
    return f"all but {', '.join(absent)}" if len(absent) < len(leads) else ", ".join(leads)


def _figures(
    label_sets: Mapping[str, Any], rows: _Rows, measures: SignalMeasures
) -> Iterator[tuple[str, Figure]]:
    for number, (name, found) in enumerate(label_sets.items(), start=1):
        if found["classes"]:
            yield f"classes_{number}", class_bars(found["classes"], label_set=name)
    if len(np.unique(rows.duration_s)) > _ROWS_OF_A_TABLE:
        yield "durations", duration_histogram(rows.duration_s)
    if measures.peak_to_peak_mv:
        yield "amplitudes", lead_ranges(measures.peak_to_peak_mv)
    if measures.einthoven_uv.size:
        yield "einthoven", einthoven_histogram(measures.einthoven_uv)


def _fact_figures(facts: Sequence[Facts]) -> Iterator[tuple[str, Figure]]:
    for place, each in enumerate(facts, start=1):
        if each.numbers is None:
            yield f"about_{place}", class_bars(each.categories, label_set=each.name)
        else:
            yield f"about_{place}", number_histogram(each.numbers, name=each.name)


def _about(facts: Facts) -> dict[str, Any]:
    """Return the numbers or counts of a column about the recordings."""
    if facts.numbers is None:
        return {"records": facts.records, "categories": facts.categories}
    return distribution(facts.numbers)


def _saved(output: Path, kind: str, found: Iterable[Examples]) -> list[_Reason]:
    """Write the figures of examples one after the other, and keep what the page shows of them."""
    reasons = []
    for reason, number, examples in found:
        shown = []
        for place, (name, text, figure, missing) in enumerate(examples, start=1):
            file = image = None
            if figure is not None:
                file = f"{kind}_{sample_key(reason)}_{place}.png"
                save_png(figure, output / file, dots_per_inch=_DOTS_PER_INCH)
                image = base64.b64encode((output / file).read_bytes()).decode()
            shown.append(_Shown(name, text, missing, file, image))
        reasons.append(_Reason(reason, number, shown))
    return reasons


def _number(value: float) -> str:
    """Write an integer with thousands separators, a fraction with four digits that count."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"

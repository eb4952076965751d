"""The table of an encoder under published protocols, and what makes its numbers differ."""

from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from finetune.overwriting import check_free, clear_results
from finetune.processes import from_main, start
from finetune.protocols.published import PROTOCOLS, Protocol
from finetune.protocols.scores import PROBE, ProtocolScorer, Scored, Step, served
from finetune.protocols.settings import ProtocolsSettings
from lamae.errors import InputError
from lamae.files import open_whole, write_csv, write_json
from lamae.runs.tracking import SUMMARY, run_summary
from lamae.statistics.interval import Interval

TABLE = "protocols"
"""Name of the tables, before its ending."""

_HEADER = (
    "protocol", "label_set", "classes", "recordings", "patients", "auroc_macro", "auroc_low",
    "auroc_high", "auprc_macro", "published", "source", "departs",
)  # fmt: skip


def tabulate_protocols(settings: ProtocolsSettings) -> list[str]:
    """Score an encoder under all protocols asked for; write tables and return their lines.

    Leaves in run_dir protocols.csv, protocols.md, embeddings/ and, when all is done, summary.json.
    The tables are there before the differences between protocols are explained, which md then has
    as well. Raises InputError where there is no such protocol, the shards can serve none, or
    run_dir holds results.
    """
    accelerator = start(settings, precision=settings.precision)
    check_free(settings.run_dir, overwrite=settings.overwrite)
    protocols = _chosen(settings.protocols)
    scorer = ProtocolScorer(settings, accelerator)
    clear_results(settings.run_dir)
    found, reasons = served(scorer, protocols)
    if not found:
        raise InputError(
            f"shards {settings.data}",
            value="; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
            expected="label sets and folds that a protocol needs",
            remedy="Build them from PTB-XL or CPSC 2018.",
        )
    known = [protocol for protocol in protocols if protocol.name in found]
    rows = [_row(protocol, found[protocol.name]) for protocol in known]
    told = [*_table(rows), *_reasons(reasons)]
    from_main(accelerator, partial(_write_tables, settings.run_dir, rows, told))
    steps, unexplained = _explain(scorer, known if settings.explain else [])
    if not accelerator.is_main_process:
        return []
    lines = [*told, *_told(found, steps), *_unexplained(unexplained)]
    _write(settings.run_dir / f"{TABLE}.md", "\n".join([*lines, ""]))
    summary = run_summary(
        settings,
        seed=settings.seed,
        protocols=[dict(zip(_HEADER, row, strict=True)) for row in rows],
        not_served=reasons,
        steps={name: [step._asdict() for step in some] for name, some in steps.items()},
        not_explained=unexplained,
    )
    write_json(settings.run_dir / SUMMARY, summary)
    return lines


def _chosen(names: tuple[str, ...] | None) -> tuple[Protocol, ...]:
    known = {protocol.name: protocol for protocol in PROTOCOLS}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise InputError(
            "protocols",
            value=", ".join(unknown),
            expected=f"some of {', '.join(known)}",
            remedy="Correct the name, or leave protocols= out for all.",
        )
    return PROTOCOLS if names is None else tuple(known[name] for name in names)


def _write_tables(folder: Path, rows: list[tuple[object, ...]], told: list[str]) -> None:
    write_csv(folder / f"{TABLE}.csv", _HEADER, rows)
    _write(folder / f"{TABLE}.md", "\n".join([*told, ""]))


def _write(path: Path, text: str) -> None:
    with open_whole(path) as file:
        file.write(text.encode())


def _explain(
    scorer: ProtocolScorer, protocols: list[Protocol]
) -> tuple[dict[str, list[Step]], dict[str, str]]:
    """Return what leads from the first protocol of a label set to each other one, or why not.

    A step between two protocols is a protocol of its own, which the shards may not serve.
    """
    found: dict[str, list[Step]] = {}
    reasons: dict[str, str] = {}
    ordered = sorted(protocols, key=lambda protocol: protocol.rules.label_set)
    for _, group in groupby(ordered, key=lambda protocol: protocol.rules.label_set):
        first, *others = group
        for other in others:
            name = f"{first.name} to {other.name}"
            try:
                found[name] = scorer.steps(first.rules, other.rules)
            except InputError as error:
                reasons[name] = str(error)
    return found, reasons


def _row(protocol: Protocol, scored: Scored) -> tuple[object, ...]:
    own, measured = scored.measured.models[PROBE], scored.measured
    audit = (f"not audited: {scored.unaudited}",) if scored.unaudited else ()
    return (
        protocol.name,
        protocol.rules.label_set,
        len(measured.positive_records) - len(measured.left_out),
        measured.records,
        measured.patients,
        *(round(value, 4) for value in own.auroc_macro),
        round(own.auprc_macro.estimate, 4),
        protocol.published,
        protocol.source,
        "; ".join((*scored.departs, *protocol.departs, *audit)),
    )


def _table(rows: list[tuple[object, ...]]) -> list[str]:
    lines = [
        "| protocol | classes | recordings | macro AUROC | published |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        value: dict[str, Any] = dict(zip(_HEADER, row, strict=True))
        interval = Interval(value["auroc_macro"], value["auroc_low"], value["auroc_high"])
        cells = (
            value["protocol"],
            value["classes"],
            value["recordings"],
            interval,
            value["published"],
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "Done otherwise than the source says:"]
    return [*lines, *(f"- {row[0]}: {row[-1]}." for row in rows if row[-1])]


def _reasons(reasons: dict[str, str]) -> list[str]:
    if not reasons:
        return []
    told = [f"- {name}: {reason}" for name, reason in reasons.items()]
    return ["", "Not served by these shards:", *told]


def _unexplained(reasons: dict[str, str]) -> list[str]:
    if not reasons:
        return []
    return ["", "Not explained:", *(f"- {name}: {reason}" for name, reason in reasons.items())]


def _told(found: dict[str, Scored], steps: dict[str, list[Step]]) -> list[str]:
    """Say, rule by rule, why the numbers of one label set differ."""
    lines: list[str] = []
    for name, some in steps.items():
        first, _, last = name.partition(" to ")
        lines += ["", f"{name}: {found[first].auroc:.3f} to {found[last].auroc:.3f}"]
        lines += [
            f"- {step.rule}, {step.before} -> {step.after}: {step.change:+.3f}" for step in some
        ]
    return ["", "Why they differ, one rule after the other:", *lines] if lines else []

"""The numbers in README and in the pages of results are those of the runs, digit by digit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
FIGURES: dict[str, Any] = json.loads((ROOT / "docs/results/figures.json").read_text())
README = (ROOT / "README.md").read_text()
RESULTS = (ROOT / "docs/results/encoder.md").read_text()
ROWS = {
    "untrained kernels and amplitudes": "_kernels",
    "encoder at random weights": "_random",
    "**encoder**": "",
    "kernels and encoder together": "_kernels_and_encoder",
    "encoder over kernels": "_kernels_difference",
    "encoder over random weights": "_difference",
    "added to kernels by the encoder": "_added",
}
"""Rows of a table of a probe, and how its measures end."""


def interval(run: str, name: str, *, bold: bool = False) -> str:
    value, low, high = FIGURES[run]["measures"][name]
    shown = f"**{value:.3f}**" if bold else f"{value:.3f}"
    return f"{shown} [{low:.3f}, {high:.3f}]"


def lines_of(heading: str) -> list[str]:
    (section,) = (part for part in RESULTS.split("\n## ") if part.startswith(heading))
    return section.splitlines()


@pytest.mark.parametrize(
    "row",
    [
        f"nothing trained | {interval('superclass_probe', 'auroc_macro_kernels')} |",
        f"on one CPU core | {interval('superclass_probe', 'auroc_macro', bold=True)} |",
        f"together | {interval('superclass_probe', 'auroc_macro_kernels_and_encoder')} |",
        f"at random weights | {interval('superclass_probe', 'auroc_macro_random')} |",
        f"pays by {interval('superclass_probe', 'auroc_macro_kernels_difference')} over",
        f"all 71 statements by {interval('statements_probe', 'auroc_macro_kernels_difference')}",
        "(2,146 recordings of 1,917 patients)",
    ],
)
def test_the_front_page_says_what_was_measured(row: str) -> None:
    assert row in README.replace("\n", " ")


@pytest.mark.parametrize(("row", "ending"), ROWS.items())
@pytest.mark.parametrize(
    ("run", "heading"),
    [
        ("superclass_probe", "PTB-XL superclass, linear probe: an untrained floor"),
        ("statements_probe", "PTB-XL, all 71 statements, linear probe"),
    ],
)
def test_the_table_of_a_probe_says_what_was_measured(
    run: str, heading: str, row: str, ending: str
) -> None:
    (line,) = (line for line in lines_of(heading) if line.startswith(f"| {row} |"))
    wanted = [interval(run, f"{name}_macro{ending}") for name in ("auroc", "auprc")]
    classes = FIGURES[run]["classes"].values()
    wanted += [f"{found[f'auroc{ending}'][0]:.3f}" for found in classes]
    assert line.endswith(f"| {' | '.join(wanted)} |")


@pytest.mark.parametrize(
    ("run", "row"),
    [
        ("superclass_probe", "the probe that it begins from"),
        ("superclass_full", "half of the patches shown in each step, `lr=5e-4`, 8 epochs"),
        ("superclass_full_quarter_shown", "a quarter shown, `lr=1e-3`, 12 epochs"),
        ("superclass_full_mixup", "**... and mixup 0.4, 14 epochs**"),
    ],
)
def test_full_fine_tuning_is_told_as_it_was_measured(run: str, row: str) -> None:
    (line,) = (line for line in lines_of("Full fine-tuning") if line.startswith(f"| {row} |"))
    told = line.replace("*", "")
    assert interval(run, "auroc_macro") in told and interval(run, "auprc_macro") in told


def test_a_second_seed_of_pretraining_is_told_as_it_was_measured() -> None:
    first, second = (FIGURES[run] for run in ("superclass_probe", "superclass_probe_seed_1"))
    told = RESULTS.replace("\n", " ")
    over = interval("superclass_probe_seed_1", "auroc_macro_kernels_difference")
    assert f"gave {interval('superclass_probe_seed_1', 'auroc_macro')}, {over} over" in told
    for name, found in first["classes"].items():
        assert abs(found["auroc"][0] - second["classes"][name]["auroc"][0]) < 0.0015


@pytest.mark.parametrize(
    ("share", "row"), [(0.01, "1 %"), (0.05, "5 %"), (0.1, "10 %"), (0.25, "25 %")]
)
def test_what_fewer_labels_leave_is_told_as_it_was_measured(share: float, row: str) -> None:
    (line,) = (line for line in lines_of("Fewer labels") if line.startswith(f"| {row} ("))
    draws = [FIGURES[f"labels_{share}_draw_{draw}"] for draw in range(3)]
    measures = [draw["measures"] for draw in draws]
    recordings = [draw["training_recordings"] for draw in draws]
    assert all(draw["settings"]["label_fraction"] == share for draw in draws)
    wanted = [f"{min(recordings):,} to {max(recordings):,}"]
    for ending, mark in (("", "**"), ("_kernels", "")):
        found = [own[f"auroc_macro{ending}"][0] for own in measures]
        mean = f"{mark}{np.mean(found):.3f}{mark}"
        wanted.append(f"{mean} ({min(found):.3f} to {max(found):.3f})")
    over = np.array([own["auroc_macro_kernels_difference"] for own in measures])
    wanted.append(f"{over[:, 0].mean():.3f} ({over[:, 1].min():.3f} to {over[:, 2].max():.3f})")
    wanted.append(interval(f"labels_{share}_cnn", "auroc_macro"))
    assert line.endswith(f"| {' | '.join(wanted)} |")


@pytest.mark.parametrize("run", ["superclass_probe", "statements_probe"])
def test_recordings_and_patients_are_told_as_they_were_counted(run: str) -> None:
    found = FIGURES[run]
    counts = f"{found['recordings']:,} recordings of {found['patients']:,} patients"
    assert counts in RESULTS.replace("\n", " ")

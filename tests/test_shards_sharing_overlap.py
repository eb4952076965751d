"""Recordings that two corpora share are found by their signals, whatever their keys and rates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly

from lamae.ecg.leads import LEADS
from lamae.storage.corpus import Corpus
from shards import commands
from shards.build.run import build_shards
from shards.settings import ShardsSettings
from shards.sharing.overlap import find_overlap
from shards.sharing.settings import OverlapSettings

OTHER_RATE = 500


@pytest.fixture(scope="module")
def copies(simulated_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build copies of six recordings at another rate, gain and with fewer leads, and six others."""
    folder, corpus = tmp_path_factory.mktemp("copies"), Corpus(simulated_shards)
    (folder / "source").mkdir()
    random = np.random.default_rng(0)
    for place, row in enumerate([*corpus.rows("train")[:3], *corpus.rows("val")[:3]]):
        record = corpus.sample(int(row)).record
        mv = resample_poly(record.signal_mv(), OTHER_RATE, record.sampling_rate, axis=1)
        write(folder / "source" / f"copy{place}.csv", LEADS[: 12 - place], mv[: 12 - place])
        noise = np.cumsum(random.normal(0, 0.02, (12, mv.shape[1])), axis=1)
        write(folder / "source" / f"new{place}.csv", LEADS, noise)
    values: dict[str, Any] = {"source": folder / "source", "output": folder / "shards"}
    values |= {"arrays": {"sampling_rate": OTHER_RATE}, "min_duration_s": 1, "workers": 1}
    values |= {"split": {"train": 0.0, "val": 0.0, "test": 1.0}, "unit": "mV"}
    build_shards(ShardsSettings.model_validate(values))
    return folder / "shards"


def write(path: Path, leads: tuple[str, ...], mv: np.ndarray) -> None:
    lines = [",".join(leads), *(",".join(f"{value:.3f}" for value in row) for row in mv.T)]
    path.write_text("\n".join(lines))


def test_a_copy_at_another_rate_is_found_and_nothing_else(
    simulated_shards: Path, copies: Path, tmp_path: Path
) -> None:
    found = find_overlap(OverlapSettings(data=simulated_shards, other=copies))
    corpus = Corpus(simulated_shards)
    rows = [*corpus.rows("train")[:3], *corpus.rows("val")[:3]]
    expected = {str(corpus.keys[row]): f"copy{place}" for place, row in enumerate(rows)}
    assert {pair.key: pair.other_key for pair in found.pairs} == expected
    assert {pair.by for pair in found.pairs} == {"near"}
    assert found.forbidden == {("train", "test"): 3, ("val", "test"): 3}
    by_checksum = OverlapSettings(data=simulated_shards, other=copies, near=False)
    assert find_overlap(by_checksum).pairs == []


def test_equal_signals_are_found_under_other_keys(simulated_shards: Path, tmp_path: Path) -> None:
    settings = OverlapSettings(data=simulated_shards, other=simulated_shards, near=False)
    found = find_overlap(settings)
    corpus = Corpus(simulated_shards)
    assert len(found.pairs) == len(corpus)
    assert found.forbidden == {("val", "val"): len(corpus.rows("val"))}
    allowed = settings.model_copy(update={"trained": ("train",)})
    assert not find_overlap(allowed).forbidden


def test_the_verb_ends_with_1_and_counts_where_training_meets_evaluation(
    simulated_shards: Path, copies: Path, tmp_path: Path
) -> None:
    settings = OverlapSettings(data=simulated_shards, other=copies, output=tmp_path / "pairs.csv")
    lines = []
    with pytest.raises(SystemExit) as ended:
        for line in commands.overlap(settings):
            lines.append(line)
    assert ended.value.code == 1
    assert "train, test of shards: 3 <- trained on and evaluated on" in lines
    assert any("a recording that begins elsewhere" in line for line in lines)
    assert len((tmp_path / "pairs.csv").read_text().splitlines()) == 7

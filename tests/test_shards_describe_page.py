"""The description of a corpus: numbers against a count of the samples, the page, odd corpora."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamae.ecg.leads import LEADS
from lamae.ecg.record import MISSING, Record
from lamae.errors import InputError
from lamae.storage.corpus import Corpus
from shards.build.run import build_shards
from shards.describe.page import describe_shards
from shards.describe.settings import DescribeSettings
from shards.describe.signals import einthoven_residual_uv, measure_signals
from shards.settings import ShardsSettings


def make_record(digital: list[list[int]] | np.ndarray, leads: tuple[str, ...]) -> Record:
    count = len(leads)
    return Record("r", np.array(digital, np.int16), leads, 100, (1000.0,) * count, (0,) * count)


def write_wfdb(folder: Path, name: str, digital: np.ndarray, leads: tuple[str, ...]) -> None:
    """Write a record in format 16 as header(5) of WFDB describes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.dat").write_bytes(digital.T.astype("<i2").tobytes())
    lines = [f"{name} {len(leads)} 100 {digital.shape[1]}"]
    lines += [f"{name}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in leads]
    sums = (int(row.sum()) & 0xFFFF for row in digital.astype(np.int64))
    for place, (row, total) in enumerate(zip(digital, sums, strict=True), start=1):
        signed = total - 0x10000 if total >= 0x8000 else total
        lines[place] = lines[place].replace(" 0 0 0 0 ", f" 0 {row[0]} {signed} 0 ")
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")


def waves(leads: int, samples: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(-900, 900, (leads, samples)).astype(np.int16)


def build(source: Path, output: Path, **values: Any) -> Path:
    settings = {"source": source, "output": output, "workers": 1, **values}
    build_shards(ShardsSettings.model_validate(settings))
    return output


def describe(data: Path, output: Path, **values: Any) -> tuple[dict[str, Any], str]:
    found = describe_shards(DescribeSettings(data=data, output=output, **values))
    assert json.loads((output / "description.json").read_text()) == found
    return found, (output / "description.html").read_text()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build shards of recordings that differ in everything, some of them of no use."""
    source = tmp_path_factory.mktemp("odd") / "source"
    write_wfdb(source, "all", waves(12, 1000, 0), LEADS)
    write_wfdb(source, "two", waves(2, 700, 1), ("V1", "V2"))
    gaps = waves(3, 1200, 2)
    gaps[1, 100:400] = MISSING
    write_wfdb(source, "gaps", gaps, ("I", "II", "III"))
    write_wfdb(source, "short", waves(12, 100, 3), LEADS)
    write_wfdb(source, "cut", waves(12, 1000, 4), LEADS)
    (source / "cut.dat").write_bytes(b"\0" * 10)
    rows = ["filename,finding", "all,$x_1$;<b>bold</b>", "two,", f"gaps,{'long ' * 30}"]
    (source / "labels.csv").write_text("\n".join(rows) + "\n")
    table = source / "labels.csv"
    split = {"train": 1.0, "val": 0.0, "test": 0.0}
    return build(source, source.parent / "shards", table=table, split=split)


def test_the_numbers_are_those_of_the_samples(simulated_shards: Path, tmp_path: Path) -> None:
    found, _ = describe(simulated_shards, tmp_path / "out")
    corpus = Corpus(simulated_shards)
    samples = [corpus.sample(row) for row in range(len(corpus))]
    assert found["records"] == len(samples) == 96
    assert found["patients"] == len({sample.patient_id for sample in samples}) == 48
    hours = sum(sample.record.duration_s for sample in samples) / 3600
    assert found["hours"] == pytest.approx(hours, abs=1e-3)
    for split, total in found["splits"].items():
        own = [sample for sample in samples if sample.split == split]
        assert total["records"] == len(own)
        assert total["patients"] == len({sample.patient_id for sample in own})
    assert set(found["splits"]) == {"train", "val"}
    assert found["recordings"]["leads"] == {"all 12": 96}
    assert found["recordings"]["sampling_rate"] == {"100 Hz": 96}
    size = found["size"]
    assert size["bytes"] == sum(tar.stat().st_size for tar in simulated_shards.glob("*.tar"))
    assert size["raw_bytes"] == sum(sample.record.digital.nbytes for sample in samples)


@pytest.fixture(scope="module")
def described(odd: Path) -> tuple[dict[str, Any], str, Path]:
    """Describe the odd shards; returns what is described, the page, and where it is."""
    output = odd.parent / "out"
    return (*describe(odd, output), output)


def test_the_same_seed_describes_with_the_same_bytes(
    odd: Path, described: tuple[dict[str, Any], str, Path], tmp_path: Path
) -> None:
    describe(odd, tmp_path / "again")
    files = sorted(path.name for path in described[2].iterdir())
    assert any(name.endswith(".png") for name in files)
    for name in files:
        assert (described[2] / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_recordings_that_differ_in_everything_are_described(
    described: tuple[dict[str, Any], str, Path],
) -> None:
    found, page, _ = described
    assert found["records"] == 3
    assert found["recordings"]["duration"] == {"10 s": 1, "12 s": 1, "7 s": 1}
    assert found["recordings"]["leads"] == {"all 12": 1, "V1, V2": 1, "I, II, III": 1}
    assert found["missing"] == {
        "share": pytest.approx(300 / (12 * 1000 + 2 * 700 + 3 * 1200)),
        "records": 1,
        "records_above_10_percent": 0,
    }
    assert found["rejects"]["too_short"] == 1
    assert sum(found["rejects"].values()) == 2
    assert "3 recordings of 3 patients" in page


def test_a_reject_is_drawn_from_its_source_or_its_message_shown(
    described: tuple[dict[str, Any], str, Path],
) -> None:
    _, page, output = described
    assert (output / "rejected_too_short_1.png").stat().st_size > 10_000
    section = page.partition("Rejected, and not in the shards")[2]
    assert section.count("<img") == 1
    assert "It cannot be drawn: " in section
    assert "Electrocardiogram of short" in section


@pytest.mark.slow
def test_a_source_that_is_gone_leaves_the_messages(odd: Path, tmp_path: Path) -> None:
    summary = json.loads((odd / "summary.json").read_text())
    gone = tmp_path / "copy"
    gone.mkdir()
    for path in odd.iterdir():
        (gone / path.name).write_bytes(path.read_bytes())
    summary["config"]["source"] = str(tmp_path / "nowhere")
    (gone / "summary.json").write_text(json.dumps(summary))
    _, page = describe(gone, tmp_path / "gone")
    (gone / "summary.json").write_text("{")
    _, without_summary = describe(gone, tmp_path / "without")
    for text in (page, without_summary):
        section = text.partition("Rejected, and not in the shards")[2]
        assert "<img" not in section
        assert "too_short" in section
        assert "lower min_duration_s" in section
    (gone / "rejects.csv").unlink()
    _, unlisted = describe(gone, tmp_path / "unlisted")
    assert "too_short" in unlisted.partition("Rejected, and not in the shards")[2]


def test_every_flag_has_an_example_from_the_shards(
    described: tuple[dict[str, Any], str, Path],
) -> None:
    found, page, output = described
    assert found["flags"]
    for flag, number in found["flags"].items():
        drawn = sorted(output.glob(f"flagged_{flag}_*.png"))
        assert len(drawn) == min(number, DescribeSettings(data=output).examples)
        assert all(f'href="{path.name}"' in page for path in drawn)


def test_the_page_needs_nothing_outside_of_it_and_escapes_what_it_shows(
    described: tuple[dict[str, Any], str, Path],
) -> None:
    page = described[1]
    assert set(re.findall(r'<img src="(.{5})', page)) == {"data:"}
    assert not re.findall(r"<(?:script|link|iframe)|@import|url\((?!#)", page)
    assert "<b>bold</b>" not in page
    assert "<b>bold</b>" in unescape(page)
    assert "$x_1$" in page


def test_one_recording_without_labels_is_described(tmp_path: Path) -> None:
    write_wfdb(tmp_path / "source", "only", waves(1, 1000, 0), ("V4",))
    split = {"train": 1.0, "val": 0.0, "test": 0.0}
    shards = build(tmp_path / "source", tmp_path / "shards", split=split)
    found, page = describe(shards, tmp_path / "out", examples=0)
    assert found["records"] == 1
    assert found["measured"]["einthoven_uv"] == {"records": 0}
    assert "The shards have no labels." in page
    assert "<img" not in page


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no manifest\.json"):
        describe_shards(DescribeSettings(data=tmp_path))


@given(st.integers(-3000, 3000))
def test_the_residual_is_what_was_added_to_lead_iii(added: int) -> None:
    i, ii = waves(2, 500, 5)
    record = make_record(np.stack([i, ii, ii - i + added]), ("I", "II", "III"))
    assert einthoven_residual_uv(record) == pytest.approx(abs(added), abs=1e-6)


def test_the_residual_ignores_missing_samples_and_needs_three_leads() -> None:
    i, ii = waves(2, 500, 6)
    iii = ii - i
    iii[:100] = MISSING
    ii[400:] = MISSING
    assert einthoven_residual_uv(make_record(np.stack([i, ii, iii]), LEADS[:3])) == pytest.approx(0)
    assert einthoven_residual_uv(make_record(np.stack([i, ii]), LEADS[:2])) is None
    gone = np.full(500, MISSING)
    assert einthoven_residual_uv(make_record(np.stack([i, ii, gone]), LEADS[:3])) is None


def test_amplitudes_are_peak_to_peak_of_what_is_there() -> None:
    records = [
        make_record([[0, 1500, -500, MISSING]], ("V1",)),
        make_record([[7, 7, 7, 7], [MISSING] * 4], ("V1", "V2")),
    ]
    measures = measure_signals(records)
    assert list(measures.peak_to_peak_mv) == ["V1"]
    assert measures.peak_to_peak_mv["V1"].tolist() == [2.0, 0.0]
    assert not measures.einthoven_uv.size


def test_recordings_of_five_hospitals_are_described(shared_data: Path, tmp_path: Path) -> None:
    shards = build(shared_data / "challenge2021", tmp_path / "shards")
    found, page = describe(shards, tmp_path / "out")
    index = (shared_data / "challenge2021" / "index.csv").read_text().splitlines()[1:]
    assert found["rejects"].pop("not_read") == 1  # the index itself
    assert found["records"] + sum(found["rejects"].values()) == len(index)
    # The recordings obey Einthoven's law up to rounding of three leads to 1 uV each.
    assert found["measured"]["einthoven_uv"]["max"] < 2
    assert page.count("<img") >= len(found["flags"])

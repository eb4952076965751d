"""Golden vectors: every release ever written gives them, and a broken one names its stage."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record
from lamae.errors import InputError
from lamae.pretrained.opening import from_pretrained
from lamae.pretrained.pretrained import Pretrained
from lamae.release.golden import (
    GOLDEN,
    check_golden,
    golden_of,
    is_simulated,
    read_golden,
    write_golden,
)
from lamae.runs.checksums import write_checksums
from lamae.runs.run_folder import CONFIG, WEIGHTS

RELEASES = Path(__file__).parent / "releases"
FORMATS = sorted(path.parent for path in RELEASES.glob(f"*/*/{GOLDEN}"))
ENCODER, CLASSIFIER, DETECTOR = (
    RELEASES / "format-1" / kind for kind in ("encoder", "classifier", "detector")
)
PREPROCESS = {ENCODER: (), CLASSIFIER: ("architecture",), DETECTOR: ("detector",)}
"""Sections of config.json above its preprocessor."""


def broken(folder: Path, copy: Path, **changes: Any) -> Pretrained:
    """Return a release whose preprocessor was changed, as by somebody who knows of checksums."""
    shutil.copytree(folder, copy)
    config = json.loads((copy / CONFIG).read_text())
    section = config
    for name in PREPROCESS[folder]:
        section = section[name]
    section["preprocess"] |= changes
    (copy / CONFIG).write_text(json.dumps(config))
    write_checksums(copy)
    return from_pretrained(copy, check=False)


def differing_stage(folder: Path, model: Pretrained) -> str:
    with pytest.raises(InputError, match="golden vectors") as raised:
        check_golden(folder, model)
    return str(raised.value).split("'")[1]


@pytest.mark.parametrize("folder", FORMATS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_release_of_every_format_loads_and_gives_its_golden_vectors(folder: Path) -> None:
    check_golden(folder, from_pretrained(folder, check=False))


def test_there_is_a_release_of_each_kind_in_every_format() -> None:
    formats = {path.name for path in RELEASES.iterdir() if path.is_dir()}
    kinds = {(path.parent.name, path.name) for path in FORMATS}
    wanted = {(name, kind) for name in formats for kind in ("encoder", "classifier", "detector")}
    assert kinds == wanted and "format-1" in formats


@pytest.mark.parametrize("folder", [ENCODER, CLASSIFIER, DETECTOR], ids=lambda path: path.name)
@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({"leads": ["II", "I", "V1", "V2", "V3", "V4", "V5", "V6"]}, "leads"),
        ({"leads": ["I", "II", "V2", "V1", "V3", "V4", "V5", "V6"]}, "leads"),
        ({"sampling_rate": 125}, "resample"),
        ({"band_hz": [0.5, 30.0]}, "filter"),
        ({"band_hz": None}, "filter"),
        ({"normalisation": "lead"}, "normalise"),
        ({"normalisation": "none"}, "normalise"),
    ],
    ids=str,
)
def test_another_preprocessor_is_caught_at_its_stage(
    folder: Path, changes: Mapping[str, Any], stage: str, tmp_path: Path
) -> None:
    model = broken(folder, tmp_path / "copy", **changes)
    assert differing_stage(folder, model) == stage


@pytest.mark.parametrize("folder", [ENCODER, CLASSIFIER, DETECTOR], ids=lambda path: path.name)
def test_weights_of_another_model_are_caught_at_the_network(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    generator = np.random.default_rng(0)
    weights = {
        name: (value + 0.01 * generator.standard_normal(value.shape)).astype(value.dtype)
        for name, value in load_file(copy / WEIGHTS).items()
    }
    save_file(weights, copy / WEIGHTS)
    write_checksums(copy)
    assert differing_stage(folder, from_pretrained(copy, check=False)) == "network"


def test_another_unit_is_caught_at_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    in_millivolts = Record.signal_mv
    monkeypatch.setattr(Record, "signal_mv", lambda record: 1000 * in_millivolts(record))
    assert differing_stage(ENCODER, from_pretrained(ENCODER, check=False)) == "reader"


class Sums:
    """A model that adds up what it reads."""

    def __init__(self, preprocess: Preprocessor, factor: float = 1.0) -> None:
        self.preprocess = preprocess
        self.factor = factor

    def answer(self, record: Record, *, min_leads: int | None = None) -> Any:
        total = self.factor * np.abs(self.preprocess(record).signal).sum(axis=1)
        fields = {"embedding": total, "probabilities": None, "score": None}
        return type("Answer", (), fields)


PLAIN = Preprocessor(
    leads=("I", "V6"), sampling_rate=100, duration_s=2, band_hz=None, normalisation="none"
)


def test_rounding_passes_and_a_thousandth_does_not(tmp_path: Path) -> None:
    write_golden(tmp_path, golden_of(Sums(PLAIN)))
    check_golden(tmp_path, Sums(PLAIN, factor=1 + 2e-6))
    with pytest.raises(InputError, match="'network'"):
        check_golden(tmp_path, Sums(PLAIN, factor=1.001))


def test_a_recording_that_was_refused_must_be_refused_again(tmp_path: Path) -> None:
    only_v6 = PLAIN.model_copy(update={"leads": ("V6",)})
    golden = golden_of(Sums(only_v6))
    assert golden.refusals == (None, None, ("leads", "no_usable_lead"))
    write_golden(tmp_path, golden)
    check_golden(tmp_path, Sums(only_v6))
    model = Sums(only_v6.model_copy(update={"leads": ("V5",)}))
    with pytest.raises(InputError, match="'leads'"):
        check_golden(tmp_path, model)


def test_golden_vectors_survive_the_file_to_the_last_bit(tmp_path: Path) -> None:
    golden = golden_of(Sums(PLAIN))
    write_golden(tmp_path, golden)
    again = read_golden(tmp_path)
    assert again.embedding_width == 2 and again.refusals == golden.refusals
    for one, two in zip(golden.outcomes, again.outcomes, strict=True):
        for stage, arrays in one.items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, two[stage][name])


def test_the_recordings_are_of_nobody_and_another_is_found_out(tmp_path: Path) -> None:
    golden = golden_of(Sums(PLAIN))
    assert is_simulated(golden, window_s=2.0)
    assert not is_simulated(golden, window_s=3.0)
    golden.records[1].digital[3, 50] += 2
    assert not is_simulated(golden, window_s=2.0)


def test_the_recordings_differ_in_all_that_a_reader_must_mind() -> None:
    records = golden_of(Sums(PLAIN)).records
    assert len({record.sampling_rate for record in records}) == 3
    assert len({record.gain[0] for record in records}) == 3
    assert len({record.baseline[0] for record in records}) == 3
    assert [len(record.leads) for record in records] == [12, 8, 11]
    assert np.isnan(records[0].signal_mv()).any()
    limb = records[2].signal_mv()
    np.testing.assert_allclose(limb[0] + limb[2], limb[1], atol=2 / 400)  # Einthoven


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    content = (ENCODER / GOLDEN).read_bytes()
    for part in (b"", content[:100], content[:-1]):
        (tmp_path / GOLDEN).write_bytes(part)
        with pytest.raises(InputError, match=GOLDEN):
            read_golden(tmp_path)


def test_a_folder_that_is_no_release_is_let_be(tmp_path: Path) -> None:
    check_golden(tmp_path, Sums(PLAIN))

"""Protocols: how they read recordings, and which shards can serve them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetune.protocols.published import DIAGNOSTIC, PROTOCOLS, Rules
from finetune.protocols.reading import ProtocolPreprocessor
from finetune.protocols.scores import READING
from lamae.ecg.leads import LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.ecg.record import Record

PLAIN = {"sampling_rate": 500, "band_hz": None}


def record(samples: int, seed: int = 0) -> Record:
    """Return a recording at 500 Hz in thousandths of a millivolt."""
    digital = np.random.default_rng(seed).integers(-1500, 2500, (12, samples), dtype=np.int16)
    return Record("r", digital, LEADS, 500, (1000.0,) * 12, (0,) * 12)


def heartlang(name: str) -> Rules:
    (found,) = (p.rules for p in PROTOCOLS if p.name == name)
    return found


@pytest.mark.parametrize("samples", [4000, 5000, 9000])
def test_heartlangs_cpsc_is_five_seconds_and_zeros_between_0_and_1(samples: int) -> None:
    """The same steps in plain numpy, as MERL's finetune_dataset.py has them."""
    rules = heartlang("cpsc2018_heartlang")
    own = ProtocolPreprocessor.model_validate(
        PLAIN | {name: getattr(rules, name) for name in READING}
    )
    found = own(record(samples))
    signal = np.zeros((12, 5000))
    signal[:, :2500] = record(samples).signal_mv()[:, :2500]
    expected = (signal - signal.min()) / (signal.max() - signal.min())
    np.testing.assert_allclose(found.signal, expected, atol=1e-5)
    assert found.samples == 5000, "the zeros are no padding to the encoder"
    assert own.lengths(np.array([samples]), np.array([500])).tolist() == [2500]


def test_without_rules_a_recording_is_read_as_the_encoder_reads_it() -> None:
    plain, own = Preprocessor(), ProtocolPreprocessor()
    one, two = plain(record(7000), 300), own(record(7000), 300)
    for name in one._fields:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    lengths = (np.array([7000, 100]), np.array([500, 250]))
    assert (plain.lengths(*lengths) == own.lengths(*lengths)).all()


def test_a_lower_rate_on_the_way_takes_what_is_above_its_half() -> None:
    times = np.arange(5000) / 500
    tone = np.round(1000 * np.sin(2 * np.pi * 80 * times)).astype(np.int16)  # 80 Hz
    high = replace(record(5000), digital=np.tile(tone, (12, 1)))
    values = {"sampling_rate": 500, "band_hz": None, "normalisation": "none"}
    kept = ProtocolPreprocessor.model_validate(values)(high).signal
    lost = ProtocolPreprocessor.model_validate(values | {"through_rate": 100})(high).signal
    assert kept.std() > 0.6 > 0.05 > lost[:, 500:-500].std()


def test_names_are_unique_and_each_label_set_has_a_first() -> None:
    names = [protocol.name for protocol in PROTOCOLS]
    assert len(set(names)) == len(names)
    assert all(protocol.source and protocol.published for protocol in PROTOCOLS)


def test_the_diagnostic_statements_are_those_of_ptbxl(shared_data: Path) -> None:
    lines = (shared_data / "ptbxl100" / "scp_statements.csv").read_text().splitlines()
    column = lines[0].split(",").index("diagnostic")
    listed = {line.split(",")[0] for line in lines[1:] if line.split(",")[column] == "1.0"}
    assert set(DIAGNOSTIC) == listed
    assert len(DIAGNOSTIC) == 44

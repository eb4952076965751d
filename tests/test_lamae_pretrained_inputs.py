"""Recordings come as files, folders, shards, arrays and tables; each is used, or named with why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lamae
from lamae.ecg.leads import LEADS
from lamae.errors import InputError
from lamae.pretrained.pretrained import Pretrained
from tests.test_lamae_pretrained_pretrained import (
    RATE,
    SHIPPED,
    record_of,
    save_csv,
    saved_classifier,
    signal_mv,
)


@pytest.fixture(scope="module")
def encoder() -> Pretrained:
    return lamae.from_pretrained(SHIPPED, device="cpu")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    folder = saved_classifier(tmp_path_factory.mktemp("classifier") / "two-classes")
    return lamae.from_pretrained(folder, device="cpu")


def test_every_form_of_a_recording_gives_the_same_probabilities(
    classifier: Pretrained, tmp_path: Path
) -> None:
    signal = signal_mv()
    order = np.random.default_rng(2).permutation(12)
    turned = tuple(LEADS[row] for row in order)
    how: dict[str, Any] = {"sampling_rate": RATE}
    frame = pd.DataFrame(signal[order].T, columns=[f"Lead {name}" for name in turned])
    forms: list[tuple[Any, dict[str, Any]]] = [
        (record_of(signal), {}),
        (signal, how),
        (signal.T, how),
        (signal * 1000, how | {"unit": "uV"}),
        (np.rint(signal * 1000).astype(np.int16), how | {"unit": "uV"}),
        (signal[order], how | {"leads": turned}),
        (frame, how),
        (save_csv(tmp_path / "a.csv", signal[order], turned), {}),
        (str(tmp_path / "a.csv"), {}),
        (tmp_path, {}),
        ([tmp_path / "a.csv"], {}),
    ]
    tables = [classifier.predict(x, **more) for x, more in forms]
    expected = tables[0]["probability"].to_numpy()
    assert np.ptp(expected) > 0.05, "of a classifier that says something"
    for table in tables:
        np.testing.assert_allclose(table["probability"], expected, atol=1e-5)
        assert table["class"].tolist() == ["MI", "CD"]
        assert (table["problem"] == "").all() and (table["cautions"] == "").all()


def test_of_many_recordings_each_keeps_its_place_and_its_problem(
    classifier: Pretrained, tmp_path: Path
) -> None:
    for number, name in enumerate(("b.csv", "a.csv", "sub/c.csv")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_csv(tmp_path / name, signal_mv(seed=number))
    (tmp_path / "b2.hea").write_text("nothing of use")
    (tmp_path / ".hidden.csv").write_text("x")
    table = classifier.predict(tmp_path)
    names = table["recording"].tolist()
    assert names == ["a.csv"] * 2 + ["b.csv"] * 2 + ["b2.hea"] + ["sub/c.csv"] * 2
    broken = table.iloc[4]
    assert "b2.hea" in broken["problem"] and np.isnan(broken["probability"])
    assert table.drop(index=4)["problem"].eq("").all()
    alone = classifier.predict(tmp_path / "b.csv")["probability"]
    np.testing.assert_allclose(table["probability"][2:4], alone, atol=1e-6)
    with pytest.raises(InputError, match=r"b2\.hea"):
        classifier.embed(tmp_path)


def test_shards_answer_as_their_recordings(encoder: Pretrained, corpus: lamae.Corpus) -> None:
    found = encoder.embed(corpus.folder)
    assert found.shape == (len(corpus), 2088)
    some = [0, 17, len(corpus) - 1]
    alone = encoder.embed([corpus.record(row) for row in some])
    np.testing.assert_allclose(found[some], alone, atol=2e-5)
    part = encoder.embed(corpus.folder, splits=("val",))
    np.testing.assert_allclose(part, found[corpus.rows("val")], atol=2e-5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda c, e: lamae.from_pretrained("lamae-cpu.ptbx"),
            "model 'lamae-cpu.ptbx': no such name",
        ),
        (lambda c, e: c.predict("nowhere.xml"), "nowhere.xml: no such file; expected one of"),
        (lambda c, e: c.predict(3.5), "recording: float; expected a path, a Record, an array"),
        (lambda c, e: c.predict(signal_mv()), "sampling_rate: not given.*expected samples per"),
        (lambda c, e: c.predict(signal_mv(), sampling_rate=RATE, unit="kV"), "unit: 'kV'; expect"),
        (lambda c, e: c.predict(signal_mv()[:3], sampling_rate=RATE), "expected 12 leads"),
        (lambda c, e: e.predict(signal_mv(), sampling_rate=RATE), "which cannot predict; expecte"),
        (lambda c, e: c.reconstruct("x", leads=["I"]), "cannot reconstruct; expected an encoder"),
        (lambda c, e: c.embed("x.csv", sampling_rate=0.5), "sampling_rate: 0.5; expected"),
        (lambda c, e: e.reconstruct(record_of(signal_mv()), leads=["aVF"]), "leads: aVF; expecte"),
        (lambda c, e: e.reconstruct(record_of(signal_mv()), leads=[]), "expected at least one"),
        (lambda c, e: lamae.from_pretrained(SHIPPED, device="abacus"), "device: abacus.*expected"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_remedy(
    call: Callable[[Pretrained, Pretrained], Any],
    said: str,
    classifier: Pretrained,
    encoder: Pretrained,
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        call(classifier, encoder)
    assert str(caught.value).endswith(".")

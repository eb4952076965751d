"""A lead that is taken is as if the recording lacked it, and what is lost is measured in pairs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from finetune.classifiers import Classifier, build_classifier
from finetune.contenders import make_contest
from finetune.cross_validation_run import CrossValidateSettings
from finetune.lead_masking import (
    check_lead_masking,
    keep_leads,
    lead_sets,
    measure_lead_need,
    score_lead_sets,
)
from finetune.main import finetune
from finetune.networks.lasan import Lasan, LasanSettings
from finetune.scoring import score_recordings
from finetune.settings import FinetuneSettings
from finetune.tasks import make_task
from finetune.windows import Reading
from lamae.config import ConfigError, load_settings
from lamae.corpus import Corpus
from lamae.dataset import Batch, Split
from lamae.errors import InputError
from lamae.leads import INDEPENDENT_LEADS, LEADS
from lamae.preprocess import Preprocessor
from lamae.record import Record
from lamae.tracking import SUMMARY

MakeProbe = Callable[..., FinetuneSettings]
LIMB = LEADS[:6]
MODES = ("full", "attention_probe", "hybrid", "lasan", "cnn_attention_bilstm")
QUICK: dict[str, Any] = {
    "lasan": {"channels": (8, 8), "kernel_size": 5, "depth": 1, "heads": 2, "hidden": 8},
    "training": {"epochs": 1, "batch_size": 16, "part_size": 8, "hold_out": 0.25},
    "baselines": (),
}


def make_classifier(settings: FinetuneSettings) -> Classifier:
    """Build the classifier in question, with a head that tells recordings apart."""
    contender, *_ = make_contest(settings, ("AF", "LBBB", "sinus")).contenders.values()
    classifier = build_classifier(contender.architecture, contender.encoder)
    generator = torch.Generator().manual_seed(3)
    for module in classifier.model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3, generator=generator)
    return classifier


def test_a_classifier_of_twelve_leads_is_asked_34_times_and_one_of_eight_22_times() -> None:
    twelve, eight = lead_sets(LEADS), lead_sets(INDEPENDENT_LEADS)
    assert [len(sets.distinct()) for sets in (twelve, eight)] == [34, 22]
    assert [len(shown) for shown in twelve.fewer] == [12, 8, 6, 4, 3, 2, 1]
    assert [len(shown) for shown in eight.fewer] == [8, 3, 2, 1]
    assert twelve.without["lateral"] == ("II", "III", "aVR", "aVF", "V1", "V2", "V3", "V4")
    assert twelve.without["inferior"] == ("I", "aVR", "aVL", *LEADS[6:])
    assert eight.without["V1-V3"] == ("I", "II", "V4", "V5", "V6")
    assert "inferior" not in eight.without  # of which it reads lead II alone
    for sets in (twelve, eight):
        for lead, alone in sets.alone.items():
            assert {*sets.without[lead], *alone} == set(sets.everything)


def test_of_one_lead_nothing_can_be_taken() -> None:
    sets = lead_sets(("II",))
    assert sets.distinct() == (("II",),)
    assert not sets.without


@pytest.mark.parametrize("normalisation", ["record", "lead", "none"])
@pytest.mark.parametrize("kept", [("II", "V1", "V5"), ("aVF",), LEADS[6:]])
def test_a_lead_that_is_taken_is_as_if_the_recording_had_been_made_without_it(
    normalisation: str, kept: tuple[str, ...]
) -> None:
    generator = np.random.default_rng(0)
    digital = (300 * generator.standard_normal((12, 400)) + 40).astype(np.int16)
    gain, baseline = tuple(generator.uniform(100, 900, 12)), tuple(range(12))
    whole = Record("whole", digital, LEADS, 100, gain, baseline)
    rows = [LEADS.index(lead) for lead in kept]
    part = replace(
        whole,
        digital=digital[rows],
        leads=kept,
        gain=tuple(gain[row] for row in rows),
        baseline=tuple(baseline[row] for row in rows),
    )
    values = {"sampling_rate": 100, "duration_s": 5, "band_hz": None}  # longer than the recording
    preprocess = Preprocessor.model_validate(values | {"normalisation": normalisation})
    prepared, expected = preprocess(whole), preprocess(part)
    batch = Batch(
        torch.from_numpy(prepared.signal)[None], None, ("a",), torch.tensor([prepared.samples])
    )
    mask = np.array([lead in kept for lead in LEADS])
    got = keep_leads(batch, mask, of_record=normalisation == "record")
    np.testing.assert_allclose(got.signal[0], expected.signal, atol=2e-5)
    assert got.present is not None
    assert got.present[0].tolist() == expected.present.tolist()


@pytest.mark.parametrize("mode", MODES)
def test_no_mode_looks_at_a_lead_that_is_taken(
    mode: str, make_probe: MakeProbe, corpus: Corpus
) -> None:
    classifier = make_classifier(make_probe(mode=mode, preprocess=None, **QUICK))
    classifier.model.eval()
    preprocess = classifier.architecture.preprocess
    batch = Split(corpus, corpus.rows("val")[:3], preprocess).batch([0, 1, 2])
    noisy = batch._replace(signal=batch.signal.clone())
    noisy.signal[:, 6:9] = 100 * torch.randn(noisy.signal[:, 6:9].shape)
    kept = np.array([lead not in ("V1", "V2", "V3") for lead in preprocess.leads])

    def logits(of: Batch) -> torch.Tensor:
        with torch.no_grad():
            return classifier.outputs(
                keep_leads(of, kept, of_record=True), torch.device("cpu")
            ).logits

    torch.testing.assert_close(logits(noisy), logits(batch))
    with torch.no_grad():
        seen = classifier.outputs(noisy, torch.device("cpu")).logits
    assert not torch.allclose(seen, logits(batch), atol=1e-3)


def test_a_lead_without_weight_may_matter_all_the_same() -> None:
    leads = ("I", "V1", "V2")
    torch.manual_seed(0)
    model = Lasan(LasanSettings(channels=(8,), depth=1, heads=2, hidden=8), leads=leads, classes=2)
    attention = model.eval().branch.attention
    first = torch.eye(8)[0]
    with torch.no_grad():  # the pool looks for what lead I alone has, the layer before at all leads
        attention.lead_embedding.zero_()
        attention.lead_embedding[LEADS.index("I")] = 20 * first
        attention.importance.key.weight.copy_(torch.outer(first, first))
        attention.importance.query.copy_(10 * first)
    batch = Batch(torch.randn(4, 3, 100), None, tuple("abcd"))
    with torch.no_grad():
        found = model(batch.signal)
        kept = keep_leads(batch, np.array([True, False, True]), of_record=False)
        without = model(kept.signal, present=kept.present)
    assert found.lead_weights is not None
    assert found.lead_weights[:, 1].max() < 1e-6
    assert (found.logits - without.logits).abs().max() > 1e-3


def test_scores_are_those_of_recordings_that_lack_the_leads(
    make_probe: MakeProbe,
    corpus: Corpus,
    corpus_with_limb_leads: Callable[..., Corpus],
    accelerator: Accelerator,
) -> None:
    classifier = make_classifier(make_probe(mode="hybrid", **QUICK))
    rows, preprocess = corpus.rows("val")[:9], classifier.architecture.preprocess
    found = score_lead_sets(
        classifier,
        Split(corpus, rows, preprocess),
        (LEADS, LIMB),
        batch_size=4,
        workers=0,
        accelerator=accelerator,
    )
    assert found.positions.tolist() == list(range(9))
    lacking = corpus_with_limb_leads(rows)
    for some, leads in ((corpus, LEADS), (lacking, LIMB)):
        expected = score_recordings(
            classifier,
            Split(some, rows, preprocess),
            Reading(4, min_leads=6, workers=0),
            accelerator=accelerator,
        )
        np.testing.assert_allclose(found.shown[leads], expected.probabilities, atol=1e-5)
    assert np.abs(found.shown[LEADS] - found.shown[LIMB]).max() > 1e-3


def test_recordings_that_lack_a_lead_have_no_part_in_it(
    make_probe: MakeProbe,
    corpus: Corpus,
    corpus_with_limb_leads: Callable[..., Corpus],
    accelerator: Accelerator,
) -> None:
    rows = corpus.rows("val")
    partial = corpus_with_limb_leads(rows[::2])
    classifier = make_classifier(make_probe(mode="full", **QUICK))
    data = Split(partial, rows, classifier.architecture.preprocess)
    found = score_lead_sets(
        classifier, data, (LEADS, ("I",)), batch_size=8, workers=1, accelerator=accelerator
    )
    assert found.positions.tolist() == list(range(1, len(rows), 2))


def test_where_no_recording_has_all_leads_it_is_said_before_anything_is_trained(
    make_probe: MakeProbe, corpus: Corpus, corpus_with_limb_leads: Callable[..., Corpus]
) -> None:
    settings = make_probe()
    limb = corpus_with_limb_leads(corpus.rows("val"))
    task = make_task(limb, settings)
    check_lead_masking(limb, task, Preprocessor(leads=LIMB))
    with pytest.raises(InputError, match=r"lead_masking: 0 of 29 .* have all of I, II, III"):
        check_lead_masking(limb, task, Preprocessor())


def test_what_is_lost_is_the_area_with_all_leads_minus_that_without() -> None:
    generator = np.random.default_rng(1)
    labels = generator.random((300, 2)) < 0.4
    patients = [str(number // 2) for number in range(300)]
    sign = labels + generator.normal(0, 0.5, labels.shape)
    noise = generator.normal(size=300)
    without = np.stack([noise, sign[:, 1]], axis=1)  # V1 holds the sign of the first class alone
    scores = {("V1", "II"): sign, ("II",): without}
    measured = measure_lead_need(
        scores, labels, patients, classes=("a", "b"), generator=generator, resamples=200
    )
    lost = measured.differences["II"]

    def area(score: np.ndarray) -> float:
        ill, well = score[labels[:, 0]], score[~labels[:, 0]]
        return float((ill[:, None] > well).mean())

    assert lost.auroc["a"].estimate == pytest.approx(area(sign[:, 0]) - area(noise))
    assert lost.auroc["a"].low > 0.2
    assert tuple(lost.auroc["b"]) == (0, 0, 0)


@pytest.mark.parametrize("mode", ["probe", "hybrid"])
def test_a_run_shows_which_leads_it_needs_beside_its_own_score(
    mode: str, make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path
) -> None:
    finetune(make_probe(mode=mode, lead_masking=True, **QUICK), accelerator)
    summary = json.loads((tmp_path / "probe" / SUMMARY).read_text())
    with_all = summary["fewer_leads"][", ".join(LEADS)]
    for end, value in summary["auroc_macro"].items():  # on the same resamples of patients
        assert with_all[end] == pytest.approx(value, abs=1e-6)
    assert list(summary["lead_masking"])[:3] == [
        "without limb",
        "without precordial",
        "without V1-V3",
    ]
    page = (tmp_path / "probe" / "report.html").read_text()
    for title in ("What it loses without leads", "What one lead tells it"):
        assert title in page
    drawn = {path.stem for path in (tmp_path / "probe" / "figures").glob("*.svg")}
    assert {"lead_masking", "lead_alone", "fewer_leads"} <= drawn
    assert ({"lead_weights", "gate"} <= drawn) == (mode == "hybrid")


def test_a_cross_validation_refuses_it(tmp_path: Path) -> None:
    overrides = ["mode=lasan", f"data={tmp_path}", f"run_dir={tmp_path}", "lead_masking=true"]
    with pytest.raises(ConfigError, match="lead_masking"):
        load_settings(CrossValidateSettings, overrides)

"""No classifier looks at a lead that is taken, and what is lost is measured in pairs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from finetune.classifiers.classifier import Classifier, build_classifier
from finetune.classifiers.predictions import PREDICTIONS
from finetune.classifiers.scoring import score_recordings
from finetune.cross_validation.settings import CrossValidateSettings
from finetune.data.tasks import make_task
from finetune.data.windows import LoaderOptions
from finetune.evaluation.assessment import assess
from finetune.evaluation.lead_masking import (
    check_lead_masking,
    find_lead_need,
    keep_leads,
    lead_sets,
    measure_lead_need,
    score_lead_sets,
)
from finetune.experiment.candidate_results import CandidateResult, ExperimentResults
from finetune.experiment.candidates import make_candidates
from finetune.networks.lasan import Lasan
from finetune.networks.settings import LasanSettings
from finetune.run import finetune
from finetune.settings import FinetuneSettings
from lamae.batches.dataset import Batch, Split
from lamae.config import ConfigError, load_settings
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.preprocess import Preprocessor
from lamae.errors import InputError
from lamae.model.recorded import Recorded
from lamae.runs.tracking import SUMMARY
from lamae.storage.corpus import Corpus

MakeProbe = Callable[..., FinetuneSettings]
LIMB = LEADS[:6]
MODES = ("full", "attention_probe", "hybrid", "lasan", "cnn_attention_bilstm")
QUICK: dict[str, Any] = {
    "lasan": {"channels": (8, 8), "kernel_size": 5, "depth": 1, "heads": 2, "hidden": 8},
    "training": {"epochs": 1, "batch_size": 16, "micro_batch_size": 8, "hold_out": 0.25},
    "baselines": (),
}


def make_classifier(settings: FinetuneSettings) -> Classifier:
    """Build the classifier in question, with a head that tells recordings apart."""
    candidate, *_ = make_candidates(settings, ("AF", "LBBB", "sinus")).by_name.values()
    classifier = build_classifier(candidate.architecture, candidate.encoder)
    generator = torch.Generator().manual_seed(3)
    for module in classifier.model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3, generator=generator)
    return classifier


def test_a_classifier_of_twelve_leads_is_asked_31_times_and_one_of_eight_22_times() -> None:
    twelve, eight = lead_sets(LEADS), lead_sets(INDEPENDENT_LEADS)
    assert [len(sets.distinct()) for sets in (twelve, eight)] == [31, 22]
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


def test_a_device_of_two_limb_leads_gives_every_limb_lead_that_is_read() -> None:
    twelve, three = lead_sets(LEADS).fewer, lead_sets(("I", "III", "V1")).fewer
    assert [len(given) for given in twelve.values()] == [12, 12, 6, 7, 7, 6, 1]
    assert twelve["I", "II", "V2"] == (*LIMB, "V2")
    assert three["I", "II"] == ("I", "III")
    assert three["I",] == ("I",)
    eight = lead_sets(INDEPENDENT_LEADS).fewer
    fewer = [INDEPENDENT_LEADS, ("I", "II", "V2"), ("I", "II"), ("I",)]
    assert list(eight) == list(eight.values()) == fewer


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
        without = model(kept.signal, Recorded(kept.present))
    assert found.lead_weights is not None and found.lead_weights[:, 1].max() < 1e-6
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
            LoaderOptions(4, min_leads=6, workers=0),
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


@pytest.mark.slow
@pytest.mark.parametrize("is_main", [True, False])
def test_the_main_process_alone_measures(
    is_main: bool,
    make_probe: MakeProbe,
    corpus: Corpus,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_probe(mode="lasan", encoder=None, resamples=5, **QUICK)
    task, classifier = make_task(corpus, settings), make_classifier(settings)
    nothing = np.empty((0, 0))
    result = CandidateResult(nothing, nothing, {}, classifier=classifier)
    monkeypatch.setattr(Accelerator, "is_main_process", is_main)
    need = find_lead_need(
        ExperimentResults({"lasan": result}, task, {}), corpus, settings, accelerator
    )
    assert (need is not None) == is_main


def test_an_error_in_it_leaves_the_predictions(
    make_probe: MakeProbe, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def fail(*_: object) -> None:
        done.append("masking")
        raise InputError("leads", value="x", expected="y", remedy="z")

    def first(*arguments: Any) -> Any:
        done.append("scores")
        return assess(*arguments)

    monkeypatch.setattr("finetune.run.find_lead_need", fail)
    monkeypatch.setattr("finetune.run.assess", first)
    settings = make_probe(lead_masking=True)
    with pytest.raises(InputError, match="leads: x"):
        finetune(settings)
    assert settings.run_dir and (settings.run_dir / PREDICTIONS).is_file()
    assert done == ["scores", "masking"]


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


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["probe", "hybrid"])
def test_a_run_shows_which_leads_it_needs_beside_its_own_score(
    mode: str, make_probe: MakeProbe, accelerator: Accelerator, tmp_path: Path
) -> None:
    finetune(make_probe(mode=mode, lead_masking=True, **QUICK))
    summary = json.loads((tmp_path / "probe" / SUMMARY).read_text())
    with_all = summary["fewer_leads"][", ".join(LEADS)]
    for end, value in summary["auroc_macro"].items():  # on the same resamples of patients
        assert with_all[end] == pytest.approx(value, abs=1e-6)
    assert set(summary["lead_alone"]) == set(LEADS)
    for name in ("lead_masking", "lead_alone", "fewer_leads"):
        assert list(summary[f"{name}_by_class"]) == list(summary[name])
        for of, macro in summary[name].items():
            classes = summary[f"{name}_by_class"][of]
            assert set(classes) == {"AF", "LBBB", "sinus"}
            mean = np.mean([interval["estimate"] for interval in classes.values()])
            assert macro["estimate"] == pytest.approx(mean, abs=1e-9)
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

"""A model opened by its name answers what its network says by hand, for every form of recording."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

import lamae
from finetune.classifiers.classifier import Architecture, build_classifier
from finetune.classifiers.folder import save_classifier
from finetune.networks.settings import CnnAttentionBilstmSettings, LasanSettings
from lamae.ecg.leads import INDEPENDENT_LEADS, LEADS
from lamae.ecg.record import Record
from lamae.errors import InputError, RecordError
from lamae.model.checkpoint import load_autoencoder
from lamae.model.recorded import recorded_parts
from lamae.pretrained.answers import Answer
from lamae.pretrained.pretrained import Pretrained
from lamae.release.place import find_model

SHIPPED = "lamae-cpu.ptbxl"
RATE = 500


def signal_mv(seconds: float = 10, *, seed: int = 0) -> np.ndarray:
    """Return a made-up ECG of twelve leads in mV that obeys Einthoven, in steps of 1 uV."""
    drawn = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    beats = np.exp(-(((time % 0.8) - 0.3) ** 2) / 0.0004)
    heights = drawn.uniform(0.7, 1.4, (8, 1)) * drawn.choice([-1, 1], (8, 1))
    eight = heights * beats + 0.1 * np.sin(2 * np.pi * time * 1.3 + seed)
    i, ii = eight[:2]
    rows = {"I": i, "II": ii, "III": ii - i, "aVR": -(i + ii) / 2, "aVL": i - ii / 2}
    rows |= {"aVF": ii - i / 2} | dict(zip(INDEPENDENT_LEADS[2:], eight[2:], strict=True))
    return np.round(np.stack([rows[lead] for lead in LEADS]), 3)


def save_csv(path: Path, signal: np.ndarray, leads: tuple[str, ...] = LEADS) -> Path:
    """Write a recording as many devices do: a time column, a column for each lead, mV."""
    table = pd.DataFrame(signal.T, columns=list(leads))
    table.insert(0, "time (s)", np.arange(len(table)) / RATE)
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def encoder() -> Pretrained:
    return lamae.from_pretrained(SHIPPED, device="cpu")


def saved_classifier(folder: Path) -> Path:
    """Save a classifier of two classes on the shipped encoder, with a drawn linear layer."""
    shipped = load_autoencoder(find_model(SHIPPED))
    torch.manual_seed(1)
    classifier = build_classifier(
        Architecture(
            mode="full",
            classes=("MI", "CD"),
            multi_label=True,
            preprocess=shipped.preprocessor,
            pooling="lead_mean",
            encoder=shipped.model.encoder.settings,
            lasan=LasanSettings(),
            cnn_attention_bilstm=CnnAttentionBilstmSettings(),
        ),
        shipped.model.encoder,
    )
    with torch.no_grad():
        weight = classifier.model.get_parameter("head.linear.weight")
        weight.mul_(3)
    about = {"settings": {"min_leads": None, "precision": "fp32"}}
    save_classifier(folder, classifier, thresholds={"MI": 0.5}, about=about)
    return folder


@pytest.fixture(scope="module")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_classifier(tmp_path_factory.mktemp("classifier") / "two-classes")


@pytest.fixture(scope="module")
def classifier(classifier_folder: Path) -> Pretrained:
    return lamae.from_pretrained(classifier_folder, device="cpu")


def record_of(signal: np.ndarray, leads: tuple[str, ...] = LEADS) -> Record:
    return lamae.record_from(signal, sampling_rate=RATE, leads=leads)


def by_hand(record: Record, start: int = 0) -> np.ndarray:
    """Return means over patches, CLS tokens and amplitudes of the leads of one window."""
    net, preprocess = load_autoencoder(find_model(SHIPPED))
    prepared = preprocess(record, start)
    recorded = recorded_parts(
        torch.from_numpy(prepared.present)[None],
        torch.tensor([prepared.samples]),
        patches=preprocess.samples // net.settings.encoder.patch_size,
        patch_size=net.settings.encoder.patch_size,
    )
    signal = torch.from_numpy(prepared.signal)[None]
    with torch.no_grad():
        latents = net.encoder(signal, preprocess.leads, recorded=recorded)
    assert latents.amplitudes is not None
    whole = prepared.samples // net.settings.encoder.patch_size
    mean = latents.tokens[0, :, 1 : 1 + whole].mean(dim=1)
    parts = [mean, latents.tokens[0, :, 0], latents.amplitudes[0]]
    return np.concatenate([part.numpy().ravel() for part in parts])


def test_an_embedding_is_that_of_the_encoder_by_hand(encoder: Pretrained) -> None:
    record = record_of(signal_mv())
    found = encoder.embed(record)
    assert found.shape == (2088,) and found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(record), atol=2e-5)


def test_a_class_is_called_at_its_threshold_and_never_without_one(classifier: Pretrained) -> None:
    for seed in range(4):
        table = classifier.predict(record_of(signal_mv(seed=seed)))
        assert table["threshold"].isna().tolist() == [False, True]
        assert table["called"].tolist() == [bool(table["probability"][0] >= 0.5), False]


def test_a_long_recording_is_the_mean_of_windows_that_cover_it(
    encoder: Pretrained, classifier: Pretrained
) -> None:
    record = record_of(signal_mv(25, seed=3))
    answer = encoder.answer(record)
    assert answer.windows == 3 and answer.embedding is not None
    windows = [by_hand(record, start) for start in (0, 750, 1500)]
    np.testing.assert_allclose(answer.embedding, np.mean(windows, axis=0), atol=2e-5)
    assert answer.cautions == ("25 s: the mean of 3 windows of 10 s",)
    parts = [replace_samples(record, first) for first in (0, 7.5, 15)]
    logits = [_logit(classifier.answer(part).probabilities) for part in parts]
    found = probabilities_of(classifier.answer(record))
    np.testing.assert_allclose(found, expit(np.mean(logits, axis=0)), atol=2e-3)


def replace_samples(record: Record, first_s: float) -> Record:
    first = round(first_s * RATE)
    return record_of(record.signal_mv()[:, first : first + 10 * RATE].astype(np.float64))


def probabilities_of(answer: Answer) -> np.ndarray:
    assert answer.probabilities is not None
    return answer.probabilities


def _logit(probabilities: np.ndarray | None) -> np.ndarray:
    assert probabilities is not None
    return np.log(probabilities / (1 - probabilities))


def test_a_short_recording_is_padded_and_what_is_behind_it_counts_for_nothing(
    encoder: Pretrained,
) -> None:
    record = record_of(signal_mv(4))
    answer = encoder.answer(record)
    assert answer.cautions[0] == "4 s: padded to 10 s"
    assert answer.embedding is not None
    np.testing.assert_allclose(answer.embedding, by_hand(record), atol=2e-5)


def test_too_few_leads_are_refused_unless_the_user_says_otherwise(classifier: Pretrained) -> None:
    record = record_of(signal_mv()[:11], LEADS[:11])
    with pytest.raises(RecordError, match=r"no V6; expected at least 8 .*Give min_leads=7"):
        classifier.predict(record)
    table = classifier.predict(record, min_leads=7)
    assert table["cautions"].tolist() == ["leads missing: V6"] * 2


def test_a_flat_lead_counts_as_missing_as_in_shards(classifier: Pretrained) -> None:
    flat, without = signal_mv(), record_of(signal_mv()[:11], LEADS[:11])
    flat[11] = 0.25
    found = classifier.answer(record_of(flat), min_leads=1)
    assert found.cautions == ("flat and taken for missing: V6", "leads missing: V6")
    expected = probabilities_of(classifier.answer(without, min_leads=1))
    np.testing.assert_allclose(probabilities_of(found), expected, atol=1e-7)
    with pytest.raises(RecordError, match="a single value in every lead"):
        classifier.answer(record_of(np.zeros((12, 5000)) + 0.5))


def test_a_limb_lead_that_two_others_give_is_not_missing(classifier: Pretrained) -> None:
    rows = [row for row, lead in enumerate(LEADS) if lead not in ("I", "aVR")]
    found = classifier.answer(record_of(signal_mv()[rows], tuple(LEADS[row] for row in rows)))
    expected = probabilities_of(classifier.answer(record_of(signal_mv())))
    assert found.cautions == ()
    np.testing.assert_allclose(probabilities_of(found), expected, atol=2e-3)  # steps of 1 uV


def test_an_amplitude_that_fits_another_unit_is_a_caution(classifier: Pretrained) -> None:
    with pytest.warns(UserWarning, match="microvolts read as millivolts"):
        record = record_of(signal_mv() * 1000)
    (caution,) = classifier.answer(record).cautions
    assert caution.startswith("unit doubtful: a median amplitude of ")
    assert caution.endswith("fits microvolts read as millivolts (unit=uV)")


def test_similarity_is_the_cosine_of_embeddings(encoder: Pretrained) -> None:
    records = [record_of(signal_mv(seed=seed)) for seed in range(3)]
    vectors = encoder.embed(records)
    found = encoder.similarity(records, vectors)
    norms = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(found, vectors @ vectors.T / np.outer(norms, norms), atol=1e-5)
    assert encoder.similarity(records[0], records).shape == (3,)
    assert encoder.similarity(records[0], vectors[0]) == pytest.approx(1)


def test_a_lead_that_is_drawn_was_not_seen(encoder: Pretrained) -> None:
    """Its patches have their own offset and scale, and a shape that other leads decide.

    A lead that runs backwards leaves the scale of the whole recording, which is seen, as it is.
    """
    signal, changed = signal_mv(), signal_mv()
    row = LEADS.index("V3")
    changed[row] = changed[row, ::-1]
    shapes = []
    for each in (signal, changed):
        drawn = encoder.reconstruct(each, leads=["v3", "I"], sampling_rate=RATE)
        assert list(drawn.columns) == ["V3", "I"] and drawn.index[-1] == pytest.approx(9.99)
        patches = drawn["V3"].to_numpy().reshape(-1, 50)
        centred = patches - patches.mean(axis=1, keepdims=True)
        shapes.append(centred / centred.std(axis=1, keepdims=True))
    np.testing.assert_allclose(shapes[0], shapes[1], atol=1e-2)


def test_a_run_and_a_checkpoint_open_as_what_they_made(pretrained_run: Path) -> None:
    newest = sorted((pretrained_run / "checkpoints").iterdir())[-1]
    for place in (pretrained_run, pretrained_run / "model", newest):
        model = lamae.from_pretrained(place, device="cpu")
        assert (model.kind, model.classes, model.release) == ("encoder", (), None)


def test_what_is_shipped_has_a_card_and_a_checksum(encoder: Pretrained) -> None:
    assert encoder.card is not None and "Apache-2.0" in encoder.card
    assert len(encoder.checksum) == 64 and encoder.name == SHIPPED


def test_a_pooling_that_there_is_not_is_refused(encoder: Pretrained) -> None:
    with pytest.raises(InputError, match=r"pooling.*'median'.*lead_summary"):
        encoder.embed(signal_mv(), sampling_rate=RATE, pooling="median")

"""Mixtures: each corpus has its share of every batch, and walks its own epochs."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lamae.batches.dataset import Split
from lamae.batches.mixture import Deal, Mixture, Walk
from lamae.batches.order import BlockOrder, GlobalOrder, make_order
from lamae.batches.raw_batches import Mixed, OnDevice, Resident, Stream, without_signal
from lamae.ecg.preprocess import Preprocessor
from lamae.storage.corpus import Corpus

CPU = torch.device("cpu")
PREPROCESSOR = Preprocessor(sampling_rate=50, duration_s=4, band_hz=(0.5, 20))
WEIGHTS = st.lists(st.sampled_from([0.1, 1 / 3, 0.7, 1.0, 2.5, 12.0]), min_size=1, max_size=4)


@given(WEIGHTS, st.integers(1, 40), st.integers(0, 5))
def test_every_corpus_gets_its_share_of_any_number_of_batches(
    weights: list[float], size: int, seed: int
) -> None:
    owners, _ = Deal(weights, size=size, seed=seed)(0, 30 * size)
    whole = sum(Fraction(str(weight)) for weight in weights)
    for batches in range(1, 31):
        dealt = np.bincount(owners[: batches * size], minlength=len(weights))
        for weight, got in zip(weights, dealt.tolist(), strict=True):
            expected = Fraction(str(weight)) / whole * batches * size
            assert abs(got - expected) < len(weights)


@given(WEIGHTS, st.integers(1, 40), st.integers(0, 5))
def test_each_corpus_is_walked_place_by_place(weights: list[float], size: int, seed: int) -> None:
    deal = Deal(weights, size=size, seed=seed)
    owners, own = deal(0, 20 * size)
    for number in range(len(weights)):
        walked = own[owners == number]
        assert sorted(walked.tolist()) == list(range(len(walked)))
        for batch in range(20):
            assert deal.first(number, batch * size) == (owners[: batch * size] == number).sum()


@given(WEIGHTS, st.lists(st.integers(0, 300), min_size=2, max_size=2, unique=True).map(sorted))
def test_a_stretch_of_a_mixture_needs_not_the_one_before(
    weights: list[float], cuts: list[int]
) -> None:
    start, stop = cuts
    deal = Deal(weights, size=7, seed=1)
    for whole, part in zip(deal(0, 300), deal(start, stop), strict=True):
        assert np.array_equal(part, whole[start:stop])


def test_within_a_batch_no_corpus_has_the_same_places_always() -> None:
    """Else one of three processes, which takes every third place, would read one of three alone."""
    owners, _ = Deal([1.0, 1.0, 1.0], size=12, seed=0)(0, 12 * 200)
    first_process = owners.reshape(200, 12)[:, ::3]
    assert 0.25 < (first_process == 0).mean() < 0.42
    assert len({tuple(row) for row in first_process}) > 30


@pytest.fixture
def mixture(corpus: Corpus, other_corpus: Corpus) -> Mixture:
    """Return training recordings of two corpora of other rates and lengths."""
    splits = [Split(c, c.rows("train"), PREPROCESSOR) for c in (corpus, other_corpus)]
    return Mixture(splits, ["one", "other"])


@pytest.fixture
def partial_mixture(
    mixture: Mixture, corpus: Corpus, corpus_with_limb_leads: Callable[..., Corpus]
) -> Mixture:
    """Return the same, but the first corpus has the first six leads alone."""
    limb = corpus_with_limb_leads(corpus.rows("train"))
    return Mixture([Split(limb, limb.rows("train"), PREPROCESSOR), mixture.splits[1]], ["one", "b"])


def test_a_batch_of_a_mixture_has_what_each_corpus_makes_of_its_recordings(
    partial_mixture: Mixture,
) -> None:
    mixture = partial_mixture
    first, second = mixture.splits
    positions = np.array([len(first) + 2, 0, len(first), 3])
    starts = np.array([40, 50, 10, 0])
    batch = mixture.batch(positions, starts)
    assert batch.present is not None
    for place, (split, position) in enumerate([(second, 2), (first, 0), (second, 0), (first, 3)]):
        expected = split.batch([position], starts[[place]])
        assert torch.equal(batch.signal[place], expected.signal[0])
        assert batch.keys[place] == f"{'one' if split is first else 'b'}:{expected.keys[0]}"
        whole = torch.ones(1, 12) > 0
        own = whole if expected.present is None else expected.present
        assert torch.equal(batch.present[place], own[0])
        assert mixture.present(positions)[place].tolist() == own[0].tolist()
        assert mixture.lengths(positions)[place] == split.lengths(np.array([position]))[0]
    assert len(mixture) == len(first) + len(second)


@pytest.mark.parametrize("kind", ["stream", "resident"])
@pytest.mark.parametrize("starts", [None, [40, 50, 10, 0, 7]])
def test_on_the_device_a_mixture_of_shapes_becomes_what_the_host_makes_of_it(
    partial_mixture: Mixture, kind: str, starts: list[int] | None
) -> None:
    mixture = partial_mixture
    sources = [Stream(s) if kind == "stream" else Resident(s, CPU) for s in mixture.splits]
    first = len(mixture.splits[0])
    begins = None if starts is None else np.array(starts)
    for positions in ([first + 2, 0, first, 3, 0], [0, 1, 5, 2, 2], [first] * 5):
        raw = Mixed(mixture, sources)(np.array(positions), begins)
        assert raw is not None
        expected = mixture.batch(positions, begins)
        found = OnDevice(PREPROCESSOR, CPU)(raw)
        torch.testing.assert_close(found, expected.signal, rtol=1e-3, atol=1e-3)
        known = without_signal(raw, PREPROCESSOR)
        assert known.keys == expected.keys
        for ours, theirs in ((known.present, expected.present), (known.samples, expected.samples)):
            assert (ours is None) == (theirs is None)
            assert ours is None or theirs is None or torch.equal(ours, theirs)


def test_a_damaged_recording_of_a_mixture_is_replaced_by_the_next_of_its_corpus(
    mixture: Mixture, corpus_with_damage: Callable[..., Corpus]
) -> None:
    damaged = corpus_with_damage(train=[3])
    rows = damaged.rows("train")
    split = Split(damaged, rows, PREPROCESSOR, replace_unusable=True)
    mixed = Mixture([mixture.splits[1], split], ["other", "hurt"])
    first = len(mixture.splits[1])
    batch = mixed.batch([first + 3, 0])
    assert batch.keys[0] == f"hurt:{damaged.keys[rows[4]]}"
    assert batch.damaged == (f"hurt:{damaged.keys[rows[3]]}",)
    sources = [Stream(each) for each in mixed.splits]
    assert Mixed(mixed, sources)(np.array([first + 3, 0])) is None


@pytest.mark.parametrize("kind", ["global", "blocks"])
def test_the_walk_of_a_mixture_is_that_of_its_corpora_as_they_are_dealt(
    mixture: Mixture, kind: str
) -> None:
    codes = [np.arange(len(split)) // 5 for split in mixture.splits]
    orders = [
        make_order(kind, code, seed=3, window=2, stream=number)  # type: ignore[arg-type]
        for number, code in enumerate(codes)
    ]
    deal = Deal([3.0, 1.0], size=8, seed=3)
    walk = Walk(mixture, orders, deal)
    found = walk.positions(0, 400)
    assert np.array_equal(walk.positions(37, 111), found[37:111])
    first = len(mixture.splits[0])
    for number, own in enumerate((found[found < first], found[found >= first] - first)):
        epoch = len(mixture.splits[number])
        owners, places = deal(0, 400)
        by_place = np.empty(len(own), dtype=int)
        by_place[places[owners == number]] = own
        for start in range(0, len(by_place) - epoch + 1, epoch):
            assert sorted(by_place[start : start + epoch]) == list(range(epoch))
    assert (found < first).sum() == 300


def test_each_corpus_learns_of_a_shard_before_its_window_comes(
    monkeypatch: pytest.MonkeyPatch, mixture: Mixture
) -> None:
    noted: list[list[list[int]]] = [[], []]
    for split, notes in zip(mixture.splits, noted, strict=True):
        monkeypatch.setattr(split.corpus, "expect", notes.append)
    codes = [np.arange(len(split)) // 5 for split in mixture.splits]
    blocks = BlockOrder(codes[0], seed=1, window=2)
    whole = GlobalOrder(codes[1], seed=1, stream=1)
    walk = Walk(mixture, [blocks, whole], Deal([1.0, 1.0], size=8, seed=1))
    for step in range(12):
        walk.announce(8 * step)
        due = walk.positions(8 * step, 8 * step + 8)
        read = set(codes[0][due[due < len(codes[0])]].tolist())
        assert read <= set(noted[0][-1])
    assert len(noted[0]) > 5 and noted[1] == [whole.shards_ahead(0).tolist()]
    before = len(noted[0])
    walk.announce(8 * 11)
    assert len(noted[0]) == before


def test_weights_that_are_whole_multiples_deal_alike() -> None:
    decimal, whole = (Deal(w, size=16, seed=0)(0, 999)[0] for w in ([0.7, 0.3], [7.0, 3.0]))
    assert np.array_equal(decimal, whole)

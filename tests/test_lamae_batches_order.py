"""Orders: every recording once in an epoch, any stretch by itself, mixed among near shards."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from lamae.batches.order import BlockOrder, GlobalOrder, Order, make_order, shuffled_positions

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=9)
SEEDS, WINDOWS = st.integers(0, 9), st.integers(1, 12)


def codes_of(sizes: list[int], seed: int) -> np.ndarray:
    """Return the shard of each recording; shards have numbers with gaps, and are interleaved."""
    codes = 3 * np.repeat(np.arange(len(sizes)), sizes) + 1
    return codes if seed % 2 else np.random.default_rng(seed).permutation(codes)


@given(SIZES, SEEDS, WINDOWS, st.integers(0, 3))
def test_every_epoch_of_blocks_visits_each_recording_once(
    sizes: list[int], seed: int, window: int, epoch: int
) -> None:
    count = sum(sizes)
    order = BlockOrder(codes_of(sizes, seed), seed=seed, window=window)
    walk = order.positions(epoch * count, (epoch + 1) * count)
    assert sorted(walk.tolist()) == list(range(count))


@given(SIZES, SEEDS, WINDOWS, st.lists(st.integers(0, 60), min_size=2, max_size=2).map(sorted))
def test_a_stretch_of_blocks_needs_not_the_one_before(
    sizes: list[int], seed: int, window: int, cuts: list[int]
) -> None:
    (start, stop), codes = cuts, codes_of(sizes, seed)
    walk = BlockOrder(codes, seed=seed, window=window).positions(0, 60)
    stretch = BlockOrder(codes, seed=seed, window=window).positions(start, stop)
    assert np.array_equal(stretch, walk[start:stop])


@given(SIZES, SEEDS, WINDOWS)
def test_no_more_shards_are_open_at_once_than_the_window_has(
    sizes: list[int], seed: int, window: int
) -> None:
    """A reader that fetches a shard at its first use and drops it after its last, in an epoch."""
    codes = codes_of(sizes, seed)
    read = codes[BlockOrder(codes, seed=seed, window=window).positions(0, len(codes))]
    first = {code: int(np.flatnonzero(read == code)[0]) for code in set(read.tolist())}
    last = {code: int(np.flatnonzero(read == code)[-1]) for code in first}
    for place in range(len(read)):
        assert sum(first[code] <= place <= last[code] for code in first) <= window


@given(SIZES, SEEDS, WINDOWS, st.sampled_from(["global", "blocks"]))
def test_a_shard_is_announced_before_it_is_read_and_soon_needed_ones_come_first(
    sizes: list[int], seed: int, window: int, kind: str
) -> None:
    codes = codes_of(sizes, seed)
    order = make_order(kind, codes, seed=seed, window=window)  # type: ignore[arg-type]
    read, announced, stretch = codes[order.positions(0, 3 * len(codes))], [], -1
    for place, code in enumerate(read.tolist()):
        if order.stretch(place) > stretch:
            stretch, announced = order.stretch(place), order.shards_ahead(place).tolist()
            assert len(set(announced)) == len(announced)
            assert kind == "global" or len(announced) <= 2 * window
        assert code in announced[: window if kind == "blocks" else None]
    if kind == "global":
        rest = codes[order.positions(2, len(codes))].tolist()
        by_first_use = list(dict.fromkeys(rest))
        assert order.shards_ahead(2).tolist()[: len(by_first_use)] == by_first_use


def test_the_first_stream_of_the_global_order_is_what_it_always_was() -> None:
    order = GlobalOrder(np.zeros(40, dtype=np.int32), seed=5)
    expected = [np.random.default_rng([5, epoch]).permutation(40) for epoch in range(3)]
    assert np.array_equal(order.positions(7, 113), np.concatenate(expected)[7:113])
    assert np.array_equal(
        shuffled_positions(7, 113, count=40, seed=5), np.concatenate(expected)[7:113]
    )


def global_order(codes: np.ndarray, seed: int, stream: int) -> Order:
    return GlobalOrder(codes, seed=seed, stream=stream)


def blocks_of_two(codes: np.ndarray, seed: int, stream: int) -> Order:
    return BlockOrder(codes, seed=seed, window=2, stream=stream)


@pytest.mark.parametrize("make", [global_order, blocks_of_two])
def test_seeds_epochs_and_streams_differ_in_their_order(
    make: Callable[[np.ndarray, int, int], Order],
) -> None:
    codes = np.repeat(np.arange(6), 5)
    walks = [tuple(make(codes, seed, 0).positions(0, 30)) for seed in range(20)]
    walks += [tuple(make(codes, 0, 0).positions(30 * e, 30 * e + 30)) for e in range(1, 5)]
    walks += [tuple(make(codes, 0, stream).positions(0, 30)) for stream in range(1, 5)]
    assert len(set(walks)) == len(walks)


@pytest.mark.parametrize("window", [1, 3, 6])
def test_every_recording_is_as_likely_anywhere_in_an_epoch(window: int) -> None:
    """Over 600 epochs of six shards: place of one recording, and its neighbour, are uniform."""
    count, epochs = 24, 600
    order = BlockOrder(np.repeat(np.arange(6), 4), seed=1, window=window)
    walks = order.positions(0, epochs * count).reshape(epochs, count)
    thirds = np.argmax(walks == 5, axis=1) // 4
    assert chisquare(np.bincount(thirds, minlength=6)).pvalue > 1e-3
    followers = walks[:, 1:][walks[:, :-1] == 5]
    if window == 6:  # of all shards: any other recording follows
        counts = np.delete(np.bincount(followers, minlength=count), 5)
        assert chisquare(counts).pvalue > 1e-3


def test_a_stretch_draws_on_all_shards_of_its_window_alike() -> None:
    """Twelve shards of 40, a window of four: each stretch has ten of each of four shards."""
    codes = np.repeat(np.arange(12), 40)
    read = codes[BlockOrder(codes, seed=2, window=4).positions(0, len(codes))]
    edge = 40 * (4 + 1) // 2  # the first stretch: 4 + 3 + 2 + 1 tenths of shards of 40
    assert sorted(np.bincount(read[:edge])[np.bincount(read[:edge]) > 0]) == [10, 20, 30, 40]
    for start in range(edge, len(codes) - edge, 40):
        counts = np.bincount(read[start : start + 40])
        assert counts[counts > 0].tolist() == [10] * 4
    assert sorted(np.bincount(read[-edge:])[np.bincount(read[-edge:]) > 0]) == [10, 20, 30, 40]


def test_ten_million_recordings_are_looked_up_without_walking_there() -> None:
    """Far into the walk, what is drawn is a permutation of the shards, and of those in a window."""
    codes = np.repeat(np.arange(200, dtype=np.int32), 50)
    order = BlockOrder(codes, seed=3, window=4)
    far = 10**12 + 17
    walked = order.positions(far, far + 64)
    shards = set(codes[walked].tolist())
    assert len(shards) <= 5 and shards <= set(order.shards_ahead(far).tolist())

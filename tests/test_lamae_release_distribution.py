"""A recording is unlike training where its embedding is far from those that a model learnt from."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

import lamae
from lamae.errors import InputError
from lamae.pretrained.pretrained import Pretrained
from lamae.release.distribution import (
    DISTRIBUTION,
    fit_distribution,
    open_distribution,
    write_distribution,
)
from lamae.release.place import find_model
from lamae.runs.checksums import write_checksums
from tests.test_lamae_pretrained_pretrained import SHIPPED, record_of, signal_mv


def drawn(count: int, *, seed: int, width: int = 30) -> np.ndarray:
    """Draw vectors that vary along five directions, and less along all."""
    mixing = np.random.default_rng(3).normal(size=(5, width))
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(count, width))
    return (generator.normal(size=(count, 5)) @ mixing + noise + 2).astype(np.float32)


def test_distances_are_those_of_another_program() -> None:
    vectors, others = drawn(500, seed=0), drawn(20, seed=1)
    model = PCA(n_components=5, svd_solver="full").fit(vectors.astype(np.float64))
    centred = others - model.mean_
    expected = np.einsum("nw,wv,nv->n", centred, model.get_precision(), centred)
    found = fit_distribution(vectors, directions=5).distance(others)
    np.testing.assert_allclose(found, expected, rtol=5e-3)  # directions are kept in 16 bits


def test_as_many_others_are_called_unlike_as_the_percentile_promises() -> None:
    found = fit_distribution(drawn(1000, seed=0), directions=5)
    percentiles = np.array([found.percentile(row) for row in drawn(2000, seed=1)])
    for percent in (50, 90, 99):
        share = 1 - percent / 100
        error = np.sqrt(share * (1 - share) * (1 / 1000 + 1 / 2000))
        assert (percentiles >= percent).mean() == pytest.approx(share, abs=3 * error)
    shifted = drawn(20, seed=1) + np.linspace(-9, 9, 30)
    assert min(found.percentile(row) for row in shifted.astype(np.float32)) == 100
    assert found.percentile(found.mean) == 0


def test_no_embedding_of_a_recording_is_kept() -> None:
    vectors = drawn(100, seed=0)
    kept = fit_distribution(vectors)
    rows = np.concatenate([kept.directions.astype(np.float32), kept.mean[None]])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert not (np.abs(rows[:, None] - vectors).max(axis=2) < 1e-2).any()
    assert not (np.abs(np.abs(rows[:-1, None]) - np.abs(unit)).max(axis=2) < 1e-2).any()
    assert kept.distances.shape == (100,) and (np.diff(kept.distances) >= 0).all()


def test_constant_and_few_embeddings_have_a_finite_distance_or_a_reason() -> None:
    same = fit_distribution(np.ones((20, 6), dtype=np.float32))
    assert same.percentile(np.ones(6, dtype=np.float32)) == 0
    assert same.percentile(np.zeros(6, dtype=np.float32)) == 100
    with pytest.raises(InputError, match="distribution: 7; expected at least 8"):
        fit_distribution(drawn(7, seed=0))


def test_a_distribution_comes_back_and_another_width_or_damage_is_named(tmp_path: Path) -> None:
    given = fit_distribution(drawn(40, seed=0))
    write_distribution(tmp_path, given)
    found = open_distribution(tmp_path)
    assert found is not None
    for one, two in zip(found, given, strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(InputError, match=r"embedding: 4 numbers; expected 30"):
        found.percentile(np.zeros(4, dtype=np.float32))
    (tmp_path / DISTRIBUTION).write_bytes(b"damaged")
    with pytest.raises(InputError, match=rf"{DISTRIBUTION}: .*Copy the folder again"):
        open_distribution(tmp_path)
    assert open_distribution(tmp_path / "elsewhere") is None


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    """Open a release whose model has learnt from 40 signals of one kind."""
    folder = tmp_path_factory.mktemp("releases") / "release"
    shutil.copytree(find_model(SHIPPED), folder)
    (folder / DISTRIBUTION).unlink()
    write_checksums(folder)
    model = lamae.from_pretrained(folder, device="cpu")
    assert model.distribution is None
    learnt = [record_of(signal_mv(seed=n)) for n in range(40)]
    write_distribution(folder, fit_distribution(model.embed(learnt), directions=8))
    return lamae.from_pretrained(folder, device="cpu")


def test_a_release_says_that_a_recording_is_unlike_what_it_learnt_from(
    released: Pretrained,
) -> None:
    usual = record_of(signal_mv(seed=50))
    wrong = replace(usual, gain=tuple(gain / 1000 for gain in usual.gain))
    like, unlike = (released.answer(each) for each in (usual, wrong))
    assert like.percentile is not None and like.percentile < 99
    assert not any("unlike" in caution for caution in like.cautions)
    assert unlike.percentile == 100
    told = "unlike training: further off than 100.0 % of the recordings there"
    assert unlike.cautions[-1] == told


def test_an_embedding_of_another_pooling_is_not_compared(released: Pretrained) -> None:
    assert released.answer(record_of(signal_mv(seed=50)), pooling="mean").percentile is None

"""Similar recordings are those of the largest cosine; unlike ones are further than any of these."""

from pathlib import Path

import numpy as np
import pytest

from lamae.errors import InputError
from lamae.pretrained.embeddings import Embeddings, read_embeddings, write_embeddings
from lamae.pretrained.reference import Reference

VECTORS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
ASKED = np.random.default_rng(1).normal(size=6).astype(np.float32)


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(one @ two / np.sqrt((one @ one) * (two @ two)))


def test_the_most_similar_recordings_have_the_largest_cosines() -> None:
    expected = sorted(((cosine(row, ASKED), n) for n, row in enumerate(VECTORS)), reverse=True)
    found = Reference(VECTORS).find(ASKED * 7, count=5)
    assert [one.row for one in found] == [number for _, number in expected[:5]]
    assert [one.similarity for one in found] == pytest.approx([value for value, _ in expected[:5]])


def test_the_percentile_counts_those_that_are_nearer_to_their_nearest() -> None:
    closest = max(cosine(row, ASKED) for row in VECTORS)
    nearest = [
        max(cosine(row, other) for j, other in enumerate(VECTORS) if i != j)
        for i, row in enumerate(VECTORS)
    ]
    expected = 100 * np.mean([value >= closest for value in nearest])
    assert Reference(VECTORS).percentile(ASKED) == pytest.approx(expected)
    one_sided = np.abs(VECTORS)
    assert Reference(one_sided).percentile(-np.ones(6)) == 100
    assert Reference(one_sided).percentile(one_sided[3]) == 0


def test_recordings_of_one_patient_are_not_compared_with_each_other() -> None:
    twice = np.concatenate([VECTORS, VECTORS])
    patients = [*map(str, range(39)), ""] * 2
    known = Reference(twice, patients=patients).nearest
    without = Reference(VECTORS).nearest
    np.testing.assert_allclose(np.sort(known)[-1], 1, atol=1e-6)  # of the two without a patient
    assert (np.delete(known, [-1, -2])[::2] < 0.9999).all() and without.max() < 0.9999
    assert Reference(twice).nearest.min() == pytest.approx(1)


def test_a_reference_needs_two_recordings_of_one_width() -> None:
    with pytest.raises(InputError, match="reference: 1 recordings; expected at least two"):
        Reference(VECTORS[:1])
    with pytest.raises(InputError, match=r"embedding: .*expected 6, as in the reference.*pooling"):
        Reference(VECTORS).find(ASKED[:4], count=1)


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".csv"])
def test_embeddings_come_back_with_their_names_and_problems(ending: str, tmp_path: Path) -> None:
    values = VECTORS[:3].copy()
    values[1] = np.nan
    given = Embeddings(("a/1.hea", "=b", "c d"), ("p", "", "ä"), ("", "no leads; none", ""), values)
    write_embeddings(tmp_path / f"e{ending}", given)
    found = read_embeddings(tmp_path / f"e{ending}")
    assert found[:3] == given[:3]
    np.testing.assert_array_equal(found.values, values)
    assert found.usable.names == ("a/1.hea", "c d")
    (tmp_path / f"no{ending}").write_text("nothing of use")
    for name in (f"no{ending}", f"gone{ending}", "e.txt"):
        with pytest.raises(InputError, match=r"embeddings .*expected a file of `embed`"):
            read_embeddings(tmp_path / name)

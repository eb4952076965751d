"""The moving dipole: its waves, its rotation and its axis."""

import numpy as np
import pytest

from shards.simulator.dipole import LEAD_VECTORS, frontal_axis, render_waves, rotation

RATE = 500


def test_waves_are_the_sum_of_gaussians() -> None:
    rng = np.random.default_rng(11)
    centre_s = rng.uniform(-0.1, 1.1, (2, 4))
    rise_s, fall_s = rng.uniform(0.02, 0.2, (2, 2, 4))
    vector = rng.normal(size=(2, 4, 3))
    rendered = render_waves(centre_s, rise_s, fall_s, vector, sampling_rate=RATE, samples=500)
    time_s = np.arange(500) / RATE
    expected = np.zeros((2, 3, 500))
    for record in range(2):
        for k in range(4):
            away = time_s - centre_s[record, k]
            width = np.where(away < 0, rise_s[record, k], fall_s[record, k])
            expected[record] += np.outer(vector[record, k], np.exp(-((away / width) ** 2) / 2))
    np.testing.assert_allclose(rendered, expected, atol=2e-3)


def test_turning_the_heart_keeps_lengths_and_moves_left_to_the_feet_or_the_back() -> None:
    quarter = np.pi / 2
    turn = rotation(np.array([quarter, 0.0]), np.array([0.0, quarter]))
    np.testing.assert_allclose(turn[0] @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(turn[1] @ [1, 0, 0], [0, 0, 1], atol=1e-12)
    oblique = rotation(np.array([0.3]), np.array([-0.4]))[0]
    np.testing.assert_allclose(oblique @ oblique.T, np.eye(3), atol=1e-12)


def test_axis_is_zero_along_lead_i_and_ninety_along_avf() -> None:
    lead_i, lead_ii = np.array([LEAD_VECTORS["I"], LEAD_VECTORS["II"]])
    basis = np.linalg.pinv(np.array([lead_i, lead_ii - lead_i / 2]))
    for axis, (i, avf) in {
        0: (1, 0),
        90: (0, 1),
        45: (1, np.sqrt(3) / 2),
        -90: (0, -1),
        60: (0.5, 0.75),
    }.items():
        assert frontal_axis(basis @ [i, avf]) == pytest.approx(axis, abs=1e-6)

"""The textbook sign of each class, measured in the signal."""

import numpy as np
import pytest
from scipy.signal import find_peaks

from lamae.ecg.leads import LEADS
from shards.simulator.ecg_classes import CLASSES
from shards.simulator.settings import NoiseSettings
from shards.simulator.signals import Simulated, simulate_signals

RATE = 500
PER_CLASS = 16
SILENT = NoiseSettings(white_mv=0, muscle_mv=0, mains_mv=0, wander_mv=0)
CODES = [code for code in CLASSES for _ in range(PER_CLASS)]
BEFORE_S = 0.45


@pytest.fixture(scope="module")
def clean() -> Simulated:
    return simulate_signals(CODES, generator=np.random.default_rng(11), noise=SILENT)


def rows(code: str) -> range:
    start = CODES.index(code)
    return range(start, start + PER_CLASS)


def lead(beat: np.ndarray, name: str) -> np.ndarray:
    return beat[LEADS.index(name)]


def index(time_s: float) -> int:
    """Place in a beat of a time relative to the R peak."""
    return round((time_s + BEFORE_S) * RATE)


def beat_at(simulated: Simulated, row: int, peak_s: float) -> np.ndarray:
    """Cut (12, samples) around an R peak, above the level of the PQ segment."""
    start = round((peak_s - BEFORE_S) * RATE)
    beat = simulated.signal_mv[row, :, start : start + round(1.1 * RATE)]
    onset, _ = qrs_span(beat)
    return beat - beat[:, [onset - 2]]


def dominant_beat(simulated: Simulated, row: int) -> np.ndarray:
    peaks = simulated.r_peak_s[row]
    return beat_at(simulated, row, peaks[peaks > 0.5][0])


def qrs_span(beat: np.ndarray) -> tuple[int, int]:
    """Bounds of the middle 99.6 % of the energy of the curvature near the R peak."""
    near = slice(index(-0.095), index(0.15))
    energy = np.cumsum((np.diff(beat[:, near], n=2, axis=1) ** 2).sum(axis=0))
    bounds = np.searchsorted(energy / energy[-1], [0.002, 0.998])
    return near.start + 1 + int(bounds[0]), near.start + 1 + int(bounds[1])


def qrs_width_ms(beat: np.ndarray) -> float:
    onset, end = qrs_span(beat)
    return (end - onset) * 1000 / RATE


def st_level(beat: np.ndarray, name: str, after_ms: float = 60) -> float:
    _, end = qrs_span(beat)
    return float(lead(beat, name)[end + round(after_ms / 1000 * RATE)])


def t_segment(beat: np.ndarray, name: str) -> np.ndarray:
    return lead(beat, name)[index(0.20) : index(0.36)]


def peaks_of(wave: np.ndarray, height: float) -> int:
    return len(find_peaks(wave, height=height)[0])


def pr_interval_ms(beat: np.ndarray) -> float:
    """From where P in lead II rises by a tenth of its height to the onset of QRS."""
    onset, _ = qrs_span(beat)
    before = lead(beat, "II")[: onset - 5]
    peak = find_peaks(before, prominence=0.02)[0][-1]
    upstroke = before[peak - 45 : peak]
    low = upstroke.min()
    rising = np.flatnonzero(upstroke < low + 0.1 * (before[peak] - low))[-1]
    return (onset - (peak - 45 + rising)) * 1000 / RATE


def t_end_ms(beat: np.ndarray, name: str, *, rr_ms: float) -> float:
    """Onset of QRS to where the steepest tangent after the last T peak meets the baseline."""
    onset, end = qrs_span(beat)
    before_next_p = index(rr_ms / 1000 - 0.25)
    wave = lead(beat, name)[end + 30 : before_next_p]
    peak = find_peaks(wave, height=0.03)[0][-1]
    slope = np.diff(wave[peak:])
    steepest = peak + int(slope.argmin())
    crossing = steepest - wave[steepest] / slope.min()
    return (end + 30 - onset + crossing) * 1000 / RATE


def detected_peaks_s(signal: np.ndarray) -> np.ndarray:
    """Times of QRS complexes by the energy of the slope over all leads."""
    energy = np.convolve((np.diff(signal, axis=1) ** 2).sum(axis=0), np.ones(60), "same")
    peaks, _ = find_peaks(energy, height=0.2 * energy.max(), distance=RATE // 4)
    return peaks / RATE


def test_sinus_has_normal_amplitudes_and_r_wave_progression(clean: Simulated) -> None:
    beats = [dominant_beat(clean, row) for row in rows("sinus")]
    r = {name: np.median([lead(b, name).max() for b in beats]) for name in LEADS}
    qrs = slice(index(-0.08), index(0.08))
    s = {name: np.median([lead(b, name)[qrs].min() for b in beats]) for name in LEADS}
    assert 0.7 < r["II"] < 1.4
    assert r["V1"] < r["V2"] < r["V3"] < r["V4"] < r["V5"] * 1.1
    assert r["V6"] < r["V5"] < 1.8
    assert max(s["V1"], s["V2"]) < -0.6 < s["V5"]
    for beat in beats:
        assert t_segment(beat, "II").max() > 0.1 > t_segment(beat, "aVR").max()
        assert qrs_width_ms(beat) < 110
        assert abs(st_level(beat, "V2")) < 0.05


def test_detected_beats_are_the_true_ones(clean: Simulated) -> None:
    for row in [*rows("sinus"), *rows("AF"), *rows("LBBB")]:
        true = clean.r_peak_s[row]
        true = true[(true > 0.2) & (true < 9.8)]
        found = detected_peaks_s(clean.signal_mv[row])
        assert np.abs(found[:, None] - true).min(axis=0).max() < 0.05
        assert np.mean(np.diff(true)) == pytest.approx(clean.intervals.rr_ms[row] / 1000, rel=0.12)


def test_only_fibrillation_has_irregular_beats_and_an_unlocked_atrium(clean: Simulated) -> None:
    def irregularity(row: int) -> float:
        intervals = np.diff(detected_peaks_s(clean.signal_mv[row]))
        return float(intervals.std() / intervals.mean())

    def unlocked_mv(row: int) -> float:
        peaks = clean.r_peak_s[row]
        late = peaks[1:][(np.diff(peaks) > 0.58) & (peaks[1:] < 9.2)]
        before = [lead(beat_at(clean, row, p), "V1")[index(-0.25) : index(-0.08)] for p in late]
        return float((np.array(before) - np.mean(before, axis=0)).std())

    assert max(irregularity(row) for row in rows("sinus")) < 0.06
    assert min(irregularity(row) for row in rows("AF")) > 0.09
    assert max(unlocked_mv(row) for row in rows("sinus")) < 0.01
    assert np.median([unlocked_mv(row) for row in rows("AF")]) > 0.03
    assert np.isnan(clean.intervals.pr_ms[list(rows("AF"))]).all()


def test_pr_interval_is_long_in_first_degree_block_alone(clean: Simulated) -> None:
    for code, low, high in (("IAVB", 200, 340), ("sinus", 110, 200)):
        for row in rows(code):
            measured = pr_interval_ms(dominant_beat(clean, row))
            assert low < measured < high
            assert measured == pytest.approx(clean.intervals.pr_ms[row], abs=20)


def test_left_bundle_branch_block_is_broad_notched_and_discordant(clean: Simulated) -> None:
    notched = 0
    for row in rows("LBBB"):
        beat = dominant_beat(clean, row)
        qrs = slice(index(-0.10), index(0.10))
        assert qrs_width_ms(beat) >= 120
        for name in ("I", "V5", "V6"):
            assert lead(beat, name)[qrs].max() > 0.4
            assert lead(beat, name)[qrs].min() > -0.15
            assert t_segment(beat, name).min() < -0.1
        assert lead(beat, "V1")[qrs].min() < -0.8
        assert lead(beat, "V1")[qrs].max() < 0.25
        notched += max(peaks_of(lead(beat, n)[qrs], 0.4) for n in ("I", "V5", "V6")) >= 2
    assert notched == PER_CLASS


def test_right_bundle_branch_block_has_rsr_in_v1_and_wide_s_laterally(clean: Simulated) -> None:
    for row in rows("RBBB"):
        beat = dominant_beat(clean, row)
        qrs = slice(index(-0.08), index(0.13))
        v1 = lead(beat, "V1")[qrs]
        assert qrs_width_ms(beat) >= 120
        s = int(v1.argmin())
        assert 0.05 < v1[:s].max() < v1[s:].max()
        assert v1[s] < -0.2
        assert t_segment(beat, "V1").min() < -0.1
        for name in ("I", "V6"):
            s_wave = lead(beat, name)[qrs] < -0.1
            assert s_wave.sum() > 0.040 * RATE


@pytest.mark.parametrize("code", ["PAC", "PVC"])
def test_premature_beats_come_early_and_only_ventricular_ones_compensate(
    clean: Simulated, code: str
) -> None:
    for row in rows(code):
        peaks = clean.r_peak_s[row]
        intervals = np.diff(peaks)
        usual = np.median(intervals)
        early = np.flatnonzero(intervals[:-1] < 0.8 * usual)
        assert len(early)
        for i in early[peaks[early + 1] < 9.2]:
            pair = (intervals[i] + intervals[i + 1]) / usual
            assert (pair > 1.86) == (code == "PVC")
            beat = beat_at(clean, row, peaks[i + 1])
            assert (qrs_width_ms(beat) > 118) == (code == "PVC")


def test_st_depression_is_flat_and_lateral_with_reciprocal_avr(clean: Simulated) -> None:
    for row in rows("STD"):
        beat = dominant_beat(clean, row)
        assert max(st_level(beat, name) for name in ("II", "V4", "V5")) < -0.1
        assert max(st_level(beat, name, 80) for name in ("V4", "V5")) < -0.1
        assert st_level(beat, "aVR") > 0.05


def test_st_elevation_is_anterior_or_inferior(clean: Simulated) -> None:
    territories = set()
    for row in rows("STE"):
        beat = dominant_beat(clean, row)
        if min(st_level(beat, name) for name in ("V2", "V3")) >= 0.2:
            territories.add("anterior")
        else:
            assert min(st_level(beat, name) for name in ("II", "III", "aVF")) >= 0.1
            assert st_level(beat, "aVL") < -0.05
            territories.add("inferior")
    assert territories == {"anterior", "inferior"}


def test_qt_is_long_in_long_qt_syndrome_alone(clean: Simulated) -> None:
    for code, low, high in (("sinus", 370, 450), ("LQT1", 460, 600), ("LQT2", 460, 600)):
        for row in rows(code):
            rr_ms = clean.intervals.rr_ms[row]
            measured = t_end_ms(dominant_beat(clean, row), "V5", rr_ms=rr_ms)
            corrected = measured / np.cbrt(rr_ms / 1000)
            assert low < corrected < high
            assert measured == pytest.approx(clean.intervals.qt_ms[row], abs=35)


def test_t_wave_is_broad_in_lqt1_and_low_and_notched_in_lqt2(clean: Simulated) -> None:
    def t_wave(row: int) -> np.ndarray:
        beat = dominant_beat(clean, row)
        before_next_p = index(clean.intervals.rr_ms[row] / 1000 - 0.25)
        return lead(beat, "V5")[qrs_span(beat)[1] + 20 : before_next_p]

    def half_width(row: int) -> float:
        wave = t_wave(row)
        return float((wave > wave.max() / 2).sum() / RATE)

    assert min(map(half_width, rows("LQT1"))) > 0.15 > max(map(half_width, rows("sinus")))
    assert {peaks_of(t_wave(row), 0.05) for row in rows("LQT1")} == {1}
    assert {peaks_of(t_wave(row), 0.05) for row in rows("LQT2")} == {2}
    heights = {code: [t_wave(row).max() for row in rows(code)] for code in ("sinus", "LQT2")}
    assert np.median(heights["LQT2"]) < 0.6 * np.median(heights["sinus"])


def test_arvc_inverts_t_and_delays_activation_in_v1_to_v3(clean: Simulated) -> None:
    for row in rows("ARVC"):
        beat = dominant_beat(clean, row)
        for name in ("V1", "V2", "V3"):
            assert t_segment(beat, name).min() < -0.1
            assert t_segment(beat, name).max() < 0.05
        assert t_segment(beat, "V6").max() > 0.1
        _, end = qrs_span(beat)
        epsilon = find_peaks(lead(beat, "V1")[end - 30 : end + 10], prominence=0.03)[0]
        assert len(epsilon)
        assert end - 30 + epsilon[-1] > index(0.045)


def test_brugada_has_coved_elevation_and_negative_t_in_v1_and_v2(clean: Simulated) -> None:
    for row in rows("BRUGADA"):
        beat = dominant_beat(clean, row)
        for name in ("V1", "V2"):
            levels = [st_level(beat, name, after) for after in (20, 40, 60, 80, 100)]
            assert levels[0] >= 0.2
            assert all(np.diff(levels) < 0)
            assert t_segment(beat, name).min() < -0.1
        assert st_level(beat, "V5", 40) < 0.05


@pytest.mark.parametrize("code", ["ARVC", "BRUGADA"])
def test_a_disease_of_the_right_ventricle_shows_in_v1_to_v3_and_nowhere_else(code: str) -> None:
    def simulated(drawn: str) -> Simulated:
        return simulate_signals([drawn] * 8, generator=np.random.default_rng(5))

    ill, well = simulated(code), simulated("sinus")  # of the same people, noise included
    difference_mv = np.abs(ill.signal_mv - well.signal_mv).max(axis=2)
    right = [LEADS.index(name) for name in ("V1", "V2", "V3")]
    assert (difference_mv[:, right] > 0.3).all()
    assert (np.delete(difference_mv, right, axis=1) == 0).all()
    for own, others in zip(ill.intervals, well.intervals, strict=True):
        np.testing.assert_array_equal(own, others)

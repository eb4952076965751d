"""Measures with honest intervals, in numpy alone.

calibration.py         whether probabilities are frequencies
challenge_metric.py    scores of the PhysioNet/CinC Challenges
delong.py              variance of AUROC without resampling
measure_intervals.py   the interval of any measure
metrics.py             AUROC and average precision
patient_resampling.py  resamples of patients
probabilities.py       what logits stand for
score_intervals.py     intervals of both
thresholds.py          thresholds from validation, and F, G, sensitivity at them
"""

"""Measures with honest intervals, in numpy alone.

calibration.py         distance of probabilities from frequencies, calibration line
challenge_metric.py    scores of the PhysioNet/CinC Challenges
delong.py              variance of AUROC without resampling
interval.py            a measure with its interval
measure_intervals.py   intervals of any measure by the bootstrap over patients
metrics.py             AUROC and average precision
net_benefit.py         net benefit of acting on probabilities: decision curves
patient_resampling.py  resamples of patients
probabilities.py       probabilities of logits
proportions.py         exact intervals of proportions, by patient
ranked_counts.py       records at or above each score
ranking_of_few.py      intervals of AUROC for few patients and for a perfect ranking
score_intervals.py     intervals of both
thresholds.py          thresholds from validation, and F, G, sensitivity at them
"""

"""Operating points, measures, and the leads a classifier needs.

assessment.py         all measures of a run
decision_measures.py  measures of decisions and of probabilities
lead_masking.py       scores of the same recordings with leads masked
operating_points.py   thresholds from held-out patients
ranking_measures.py   AUROC and average precision, on the same resamples of patients
"""

"""Operating points, measures, and the leads a classifier needs.

assessment.py         all that a run measures
decision_measures.py  measures at them, and of probabilities
lead_masking.py       which leads a classifier needs: scored again with leads taken from it
operating_points.py   thresholds from held-out patients
ranking_measures.py   AUROC and average precision, on the same resamples of patients
"""

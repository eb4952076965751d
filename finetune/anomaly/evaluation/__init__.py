"""Measures and report of a detector.

findings.py         what was found
measures.py         measures with intervals
normals.py          which recordings are normal
picture.py          where a recording deviates, on ECG paper
report.py           what the report tabulates
results.py          what a detector says of labelled recordings, and what that leaves
score_table.py      scores of recordings as a CSV file
threshold_rules.py  rules of a threshold
"""

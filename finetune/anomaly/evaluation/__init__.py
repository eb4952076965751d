"""Measures and report of a detector.

findings.py         findings in sentences and figures
measures.py         measures with intervals
normals.py          normal and abnormal recordings, divided by patient
picture.py          deviations of a recording, on ECG paper
report.py           tables of the report
results.py          scores of labelled recordings, and results as files
score_table.py      scores of recordings as a CSV file
threshold_rules.py  rules of a threshold
"""

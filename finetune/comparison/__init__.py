"""A report of several finished runs.

collect.py            the table of a sweep
common_recordings.py  recordings that all runs evaluated, and measures on them
finished_runs.py      predictions of finished runs
label_efficiency.py   macro AUROC by the share of labels
run.py                from folders to a report
sections.py           sections of the report
settings.py           settings of a comparison
"""

"""Detectors of abnormal recordings, trained on normal ones alone.

detector/        a detector: trained, asked, kept on disk
evaluation/      measures and report of a detector
networks/        networks of the detectors
checks.py        what is checked before a detector learns
evaluate.py      a saved detector judged on other labelled shards
run.py           a run: learn, choose thresholds, judge, report
run_settings.py  its settings
score_file.py    its scores of any shards
settings.py      what a detector is made of, and how it is trained
streaming.py     a detector that takes samples as they come
"""

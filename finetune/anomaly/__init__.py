"""Detectors of abnormal recordings, trained on normal ones only.

detector/        a detector: trained, used, saved
evaluation/      measures and report of a detector
networks/        networks of the detectors
checks.py        checks before a detector is trained
evaluate.py      a saved detector evaluated on other labelled shards
run.py           a run: learn, choose thresholds, evaluate, report
run_settings.py  settings of a run, and of a saved detector's use
score_file.py    scores of any shards by a saved detector
settings.py      kinds, scores, rules, architecture and training of a detector
streaming.py     a detector that takes samples as they come
"""

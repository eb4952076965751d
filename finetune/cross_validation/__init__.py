"""Nested cross-validation by patient.

nested.py        folds of a cohort, and probes with inner folds
out_of_fold.py   measures of predictions from several folds
results.py       results as files
resume_folds.py  fits that are kept once their fold is scored
run.py           a cross-validation in every mode
settings.py      settings of a cross-validation
"""

"""Nested cross-validation by patient.

nested.py        a small cohort, evaluated whole
out_of_fold.py   measures of scores from several folds
results.py       what it leaves
resume_folds.py  fits of a cross-validation, each kept once its fold is scored
run.py           the same in every mode
"""

"""Splits that others can use, and recordings that two corpora have in common.

near.py      recordings that are alike at another rate or gain
overlap.py   recordings of one corpus in another, counted by split
settings.py  settings of splits and overlap
splits.py    the file of splits, written and read
"""

"""One encoder under the protocols of published studies.

published.py  the protocols as data
reading.py    how they read recordings
scores.py     the scores
table.py      the table, and why its numbers differ
"""

"""A report of several finished runs.

collect.py            the table of a sweep
common_recordings.py  what runs have in common, and measures of it
finished_runs.py      what runs say of recordings
label_efficiency.py   what more labels are worth
run.py                from folders to a report
sections.py           what the report shows
settings.py           its settings
"""

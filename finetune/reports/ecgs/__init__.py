"""Single recordings of a report, as clinicians read ECGs.

choosing.py  wrong, correct and borderline recordings, by stated rules
drawing.py   a recording of the shards in the clinical layout
section.py   section that shows them
"""

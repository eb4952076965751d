"""Single recordings of a report, as clinicians read ECGs.

choosing.py           wrong, correct and borderline recordings, by stated rules
drawing.py            a recording of the shards in the clinical layout
occlusion_section.py  section on where a classifier looked
section.py            section that shows examples
"""

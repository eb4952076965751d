"""Recordings of a task: which, whose, with which labels.

audit.py            whether what is evaluated was seen before
folds.py            folds by patient
hold_out.py         patients held out of training
label_fractions.py  a share of the training patients
label_rules.py      from the labels of shards to the classes of a task
settings.py         task, overlap, reading: the groups of settings that programs inherit
tasks.py            which recordings a classifier learns from, and what they show
usable.py           which recordings can be used
windows.py          means over windows
"""

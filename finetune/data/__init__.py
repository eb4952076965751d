"""Recordings of a task, their labels and patients.

audit.py            overlap of evaluated recordings with training and pretraining
folds.py            folds by patient
hold_out.py         patients held out of training
label_fractions.py  a share of the training patients
label_rules.py      from the labels of shards to the classes of a task
settings.py         task, overlap, reading: groups of settings that verbs share
tasks.py            recordings to learn from and to evaluate on, with labels
usable.py           recordings that can be used
windows.py          windows of recordings, read ahead, and means over them
"""

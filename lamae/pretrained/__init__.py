"""A saved model in use: opened by its name, it reads recordings and answers.

answers.py     forms of what goes into a model and of what comes out
cautions.py    reasons to be careful with the answer for a recording
embeddings.py  embeddings as a file
folders.py     the recordings below a folder, and those of shards
inputs.py      recordings of all that a user may have: paths, records, arrays, data frames
opening.py     a model of any kind by its name
pretrained.py  models of every kind: windows, answers, tables
recordings.py  a recording, and the facts that a user states of it
reference.py   recordings among which others are looked for
tables.py      answers as tidy tables
windows.py     recordings become windows for a network, and its outputs theirs again
"""

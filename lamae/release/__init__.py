"""Released models: found by name, described, checked, and given away.

card.md.j2        the model card as a template, of which every section must have content
card.py           the model card, README.md, with the Hub's YAML
check.py          check of a release: complete, of one mind, free of code, links and patients
derived.py        the part of release.json that follows from the other files
description.py    release.json: input, output, licence, data and results of a released model
distribution.py   the recordings that a model learnt from, as a distribution of embeddings
golden.py         simulated recordings, and what came out of every stage at the release
hub.py            the Hugging Face Hub: download and upload, without pickles and telemetry
licences.py       licences of weights and data, as SPDX expressions
output.py         classes, thresholds and scores of a released model, with what was measured at them
place.py          the place of a model: a shipped name, a folder, a file, or one on the Hub
recalibration.py  the recalibration of a classifier: from what, on whom, and what it changed
simulated.py      the recordings of golden vectors, drawn without chance
traces.py         traces of people and machines in documents
"""

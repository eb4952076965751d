"""Saved models on recordings: predictions, embeddings, similar recordings.

embed.py                  the verb embed
outputs.py                files of results, and where they come from
predict.py                the verb predict
pretrained_classifier.py  a classifier, opened by its name
pretrained_detector.py    a detector, opened by its name
request.py                the model and the recordings that a verb was asked for
settings.py               settings of the verbs
shards.py                 a classifier on shards, by several processes
similar.py                the verb similar
terminal.py               the answer for one recording on a terminal
"""

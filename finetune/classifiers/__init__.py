"""A classifier: built, asked, kept on disk, exported.

classifier.py    classifiers of every mode
export_onnx.py   a classifier as ONNX, in float32 or 8 bits; this needs torch
folder.py        classifiers on disk
predict.py       a saved classifier on any shards
scoring.py       probabilities, averaged over windows
run_model.py     the folder of a classifier or detector, and where a run has it
settings.py      modes
"""

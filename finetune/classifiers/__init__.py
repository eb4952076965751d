"""A classifier: built, used, saved, exported.

classifier.py    classifiers of every mode
export_onnx.py   a classifier as ONNX, in float32 or 8 bits; this needs torch
folder.py        classifiers on disk
predictions.py    the predictions of a run as a file
run_model.py     the folder of a classifier or detector, and where a run has it
scoring.py       probabilities, averaged over windows
settings.py      modes, and settings of export
"""

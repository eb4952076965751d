"""A classifier made to fit a place: calibration and thresholds from some labelled recordings there.

cohort.py     labelled recordings of the place, and the logits of the classifier for them
cross_fit.py  each recording decided by a calibration of other patients
fit.py        calibration and threshold of each class
measures.py   measures before and after, with intervals
origin.py     the model that was recalibrated, and what of it goes on
run.py        the verb: from a model to a model
settings.py   its settings
"""

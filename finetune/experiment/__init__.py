"""A classifier and its baselines: trained, scored, resumed.

candidates.py       the classifier in question, and its baselines
probe_features.py   features of several frozen encoders, and their probes
resume.py           saved progress of a run, and the settings that it depends on
resume_training.py  saved progress of one candidate, after each epoch
train_and_score.py  all candidates trained and scored on the same recordings
"""

"""One classifier beside its baselines, and how a run resumes.

candidates.py       the classifier in question, and its baselines
probe_features.py   features of several frozen encoders, and their probes
resume.py           what an unfinished run keeps: sealed pieces, and the settings they hang on
resume_training.py  one contender, kept after each epoch
train_and_score.py  all of them trained and scored on the same recordings
"""

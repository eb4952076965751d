"""A detector: trained, asked, kept on disk.

detectors.py        detectors of every kind
folder.py           detectors on disk
latent_distance.py  the distance of its embedding to those of normals
masked_error.py     LAMAE's error of patches it does not see
recordings.py       scores of recordings
scores.py           scores of windows
training.py         how they learn
"""

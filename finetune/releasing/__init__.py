"""Releases: a trained model becomes a folder that says all of itself, is checked, and given away.

check.py         the verb check: all that can be wrong with a release, and its golden vectors
collect.py       model, configuration and summaries of the runs that made and evaluated a model
distribution.py  the distribution of embeddings in a release
release.py       the verb release: the folder of a released model
settings.py      settings of the three verbs
upload.py        the verb upload: a release on the Hugging Face Hub, under the tag of its version
"""

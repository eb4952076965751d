"""Shards become a pretrained encoder.

cost/            the cost of a training step
monitoring/      looks at a model while it learns
processes/       many processes and long jobs
augmentation.py  random changes of the recordings that are trained on
batches.py       what a step reads: recordings, windows, changes and masks
damage.py        how many damaged samples a run bears
evaluation.py    what is looked at between steps
finite.py        steps that are not finite
loop.py          state, one step, validation
main.py          entry point
pinning.py       page-locked memory for batches
progress.py      bar and logs
resume.py        checks of a run that resumes
retention.py     which checkpoints are kept
settings.py      its settings, without torch
"""

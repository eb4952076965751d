"""Shards become a pretrained encoder.

cost/            the cost of a training step
monitoring/      looks at a model while it learns
processes/       many processes and long jobs
augmentation.py  random changes of the recordings that are trained on
batches.py       recordings, windows, changes and masks of a step
damage.py        damaged samples that a run tolerates
data.py          corpora of a run, and the order of what it trains on
evaluation.py    evaluation between steps
finite.py        steps that are not finite
loop.py          state, one step, validation
main.py          entry point
pinning.py       page-locked memory for batches
progress.py      bar and logs
retention.py     retention of checkpoints
run.py           one run, from its settings to model and summary
settings.py      its settings, without torch
start.py         start of a run, from the seed or a checkpoint
trial.py         steps that are tried, and the verb check
"""

"""Probes, embeddings and fine-tuning.

batches.py              batches of a training step
embeddings.py           embeddings by a frozen encoder, computed once
fine_tuning.py          training with early stopping on held-out patients
layer_decay.py          learning rates by layer
linear_probe.py         a linear classifier, its penalty chosen on held-out training patients
logistic_regression.py  the fit behind it
losses.py               cross-entropy and focal loss
settings.py             settings of probes and of fine-tuning
"""

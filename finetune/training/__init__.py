"""Probes, embeddings and fine-tuning.

batches.py              batches of a training step
embeddings.py           embeddings by a frozen encoder, computed once
exchange.py             sums over processes, and running statistics
fine_tuning.py          training with early stopping on held-out patients
layer_decay.py          learning rates by layer
linear_probe.py         a linear classifier, its penalty chosen on held-out training patients
logistic_regression.py  the fit behind it
losses.py               cross-entropy and focal loss
mixup.py                sums of two recordings in place of one
settings.py             settings of probes and of fine-tuning
visible_patches.py      patches that a step shows the encoder
"""

"""Looks at a model while it learns.

lead_errors.py   reconstruction errors of limb and precordial leads apart
online_probe.py  a linear probe while the encoder learns
pictures.py      reconstructions of a run
ridge.py         ridge regression with a leave-one-out penalty
"""

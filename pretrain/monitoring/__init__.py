"""Looks at a model while it learns.

facts.py         figures that the folder of a run shows
lead_errors.py   reconstruction errors of limb and precordial leads apart
online_probe.py  a linear probe while the encoder learns
paces.py         processes side by side, and stragglers
pictures.py      reconstructions of a run
ridge.py         ridge regression with a leave-one-out penalty
settings.py      settings of the verb status
status.py        the verb status
"""

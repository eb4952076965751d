"""The cost of a training step.

flops.py       operations of a training step
meter.py       speed, without waiting for the device
parameters.py  parameters by part of a model
peak.py        the most that a device multiplies in a second
"""

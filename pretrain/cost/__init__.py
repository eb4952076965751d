"""The cost of a training step.

flops.py       operations of a training step
memory.py      memory that a step keeps of a recording
meter.py       speed, without waiting for the device
parameters.py  parameters by part of a model
peak.py        the most that a device multiplies in a second
"""

"""The cost of a training step.

flops.py         operations of a training step
forward_time.py  time that a process takes by itself
memory.py        memory that training takes
meter.py         speed, without waiting for the device
parameters.py    parameters by part of a model
peak.py          the most that a device multiplies in a second
"""

"""Many processes and long jobs.

check/            the verb check
attempt.py        who may write, and from which checkpoint an attempt goes on
faults.py         faults of the disk, on which all processes act together
fully_sharded.py  under FSDP2: weights, gradients and moments over the processes
launch.py         the processes as accelerate has started them
saving.py         checkpoints that are written while training goes on
stopping.py       requests to stop, on which all processes agree
watchdog.py       ends a process that is stuck
zero.py           under DeepSpeed: weights, gradients and moments over the processes
zero_config.py    what a run decides of DeepSpeed's configuration
"""

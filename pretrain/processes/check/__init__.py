"""The verb check of pretrain/trial.py: whether a run would go, on the processes that it is to have.

machine.py   devices, bf16, exchange between processes
program.py   the table, from first line to exit status
step.py      a step: memory, time, and the time of the run
storage.py   shards and run folder
table.py     lines of the table, on which all processes agree
"""

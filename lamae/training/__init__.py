"""Parts that pretraining and fine-tuning share: optimiser, schedule, saved state.

checkpoint_writing.py  a checkpoint, written by one process or by all
host_copy.py           copies that training no longer changes
optim.py               AdamW with weight decay on matrices only, its state by name
pieces.py              rows of a tensor that a process holds
schedule.py            learning rate by step
tensor_file.py         safetensors, hashed as they are written
threads.py             cores that a process computes with
training_state.py      checkpoints of a training run
weight_average.py      exponential moving average of the weights
"""

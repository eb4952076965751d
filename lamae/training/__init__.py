"""Parts that pretraining and fine-tuning share: optimiser, schedule, saved state.

optim.py           AdamW with weight decay on matrices only
schedule.py        learning rate by step
threads.py         cores that a process computes with
training_state.py  checkpoints of a training run
weight_average.py  exponential moving average of the weights
"""

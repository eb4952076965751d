"""Shards become batches, in an order that is a function of (seed, step).

batch_preprocess.py  the same for whole batches, on the device of the model
dataset.py           recordings of a split by position, read ahead by threads
mixture.py           batches of several corpora by their weights
node_memory.py       memory that the processes of a machine share
order.py             orders of training: all recordings, or those of a window of shards
raw_batches.py       batches that the device preprocesses, and recordings held in memory
"""

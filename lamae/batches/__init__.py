"""Shards become batches, in an order that is a function of (seed, step).

batch_preprocess.py  the same for whole batches, on the device of the model
dataset.py           shards to batches, in an order that is a function of the seed
raw_batches.py       batches that the device preprocesses, and recordings held in memory
"""

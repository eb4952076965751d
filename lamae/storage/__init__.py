"""Shards on disk: samples, their codec, manifest, index and corpus.

codec.py               lossless compression of the integers of a recording
corpus.py              a folder of shards, read by position
index.py               the index of a corpus, column by column
manifest.py            the manifest of a corpus
samples.py             the contract of one shard sample
signal_reader.py       signals out of mapped shards
webdataset_decoder.py  a function for webdataset and datasets
"""

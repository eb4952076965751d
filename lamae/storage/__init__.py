"""Shards on disk: samples, their codec, manifest, index and corpus.

cached_place.py        a corpus whose files come into a cache
codec.py               lossless compression of the integers of a recording
corpus.py              a folder of shards, read by position
index.py               the index of a corpus, column by column
manifest.py            the manifest of a corpus
place.py               a folder that is read where it lies, or one whose files come here
samples.py             the contract of one shard sample
settings.py            places of shards, and their cache, as settings
signal_reader.py       signals out of mapped shards
webdataset_decoder.py  a function for webdataset and datasets
"""

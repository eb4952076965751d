"""Every byte of a corpus, checked.

corpus.py  whether a corpus is what was written
shard.py   one shard, every byte and sample
tar.py     a tar from its bytes alone
"""

"""Every byte of a corpus, checked.

corpus.py      whether a corpus is what was written
shard.py       one shard, every byte and sample
side_files.py  files beside the shards
tar.py         a tar from its bytes alone
"""

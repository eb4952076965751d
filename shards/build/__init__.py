"""Entries become a corpus of shards.

blocks.py           the recordings of one shard, built whole or not at all
duplicates.py       the same recording twice
encode.py           one recording is read, examined and encoded
merge.py            finished blocks become a corpus
plan.py             what is to be built, and whether it has been
read.py             an entry becomes a record
report.py           counts and the manifest
resample_record.py  a recording at another rate, in its own integers
run.py              from a source to a finished folder, or a part of it
split.py            patients are divided into splits
writer.py           tar shards
"""

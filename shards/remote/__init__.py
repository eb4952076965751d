"""Shards from recordings that lie elsewhere.

build.py   sources and outputs in remote stores
source.py  the files of a block, fetched and removed
"""
